"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const views = [...document.querySelectorAll("main > section")];
const nodes = new Map(data.nodes.map((n) => [n.id, n]));
const boxes = new Map();  // of a node: [view, element], the fullest view first
views.forEach((section, view) => {
  for (const g of section.querySelectorAll("[data-node]")) {
    const id = Number(g.dataset.node);
    if (!boxes.has(id)) boxes.set(id, []);
    boxes.get(id).push([view, g]);
  }
});
let current = 0, selected = null;
const trail = [];

const make = (tag, text, properties = {}) => {
  const element = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) element.textContent = text;
  return element;
};
const title = (n) => n.leaf || (n.label ? `${n.label}: ${n.name}` : n.name);

// Moving and zooming: the viewBox of each view.
const state = views.map((section) => {
  const svg = section.querySelector("svg");
  const [, , w, h] = svg.getAttribute("viewBox").split(" ").map(Number);
  return {svg, w, h, x: 0, y: 0, k: 0};
});
const apply = (s) => {
  const {clientWidth: w, clientHeight: h} = s.svg;
  s.svg.setAttribute("viewBox",
    `${s.x} ${s.y} ${Math.max(w, 1) / s.k} ${Math.max(h, 1) / s.k}`);
};
const fit = (s, whole) => {
  const {clientWidth: w, clientHeight: h} = s.svg;
  const all = Math.min((w - 40) / s.w, (h - 110) / s.h, 1.25);
  s.k = whole ? Math.max(all, 0.02) : Math.max(all, Math.min(0.75, w / s.w), 0.3);
  s.x = s.w / 2 - w / 2 / s.k;
  s.y = s.h * s.k < h - 110 ? s.h / 2 - h / 2 / s.k : -55 / s.k;
  apply(s);
};
const zoom = (s, factor, px, py) => {
  const {clientWidth: w, clientHeight: h} = s.svg;
  px = px ?? w / 2;
  py = py ?? h / 2;
  const k = Math.min(Math.max(s.k * factor, 0.02), 6);
  s.x += px / s.k - px / k;
  s.y += py / s.k - py / k;
  s.k = k;
  apply(s);
};
const center = (s, g) => {
  const {x, y, width, height} = g.getBBox();
  const m = g.parentNode.closest("g[transform]").transform.baseVal.consolidate();
  const {clientWidth: w, clientHeight: h} = s.svg;
  if (s.k < 0.6) s.k = 0.9;
  s.x = x + width / 2 + m.matrix.e - w / 2 / s.k;
  s.y = y + height / 2 + m.matrix.f - h / 2 / s.k;
  apply(s);
};
for (const s of state) {
  const at = new Map();  // pointers
  let moved = 0;
  s.svg.addEventListener("wheel", (e) => {
    e.preventDefault();
    zoom(s, Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0015)), e.offsetX, e.offsetY);
  }, {passive: false});
  s.svg.addEventListener("pointerdown", (e) => {
    at.set(e.pointerId, [e.clientX, e.clientY]);
    moved = 0;
  });
  s.svg.addEventListener("pointermove", (e) => {
    const from = at.get(e.pointerId);
    if (!from) return;
    const [dx, dy] = [e.clientX - from[0], e.clientY - from[1]];
    if (at.size === 2) {
      const other = [...at].find(([id]) => id !== e.pointerId)[1];
      const gap = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
      const r = s.svg.getBoundingClientRect();
      zoom(s, gap([e.clientX, e.clientY]) / gap(from), other[0] - r.x, other[1] - r.y);
    } else {
      s.x -= dx / s.k;
      s.y -= dy / s.k;
      apply(s);
    }
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > 4 && !s.svg.hasPointerCapture(e.pointerId)) {
      s.svg.setPointerCapture(e.pointerId);
      s.svg.classList.add("drag");
    }
    at.set(e.pointerId, [e.clientX, e.clientY]);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    s.svg.addEventListener(end, (e) => {
      at.delete(e.pointerId);
      s.svg.classList.remove("drag");
    });
  }
  s.svg.addEventListener("focusin", (e) => {
    const g = e.target.closest("[data-node], [data-group]");
    if (g && g !== selected && g.matches(":focus-visible")) choose(g);
  });
  s.svg.addEventListener("click", (e) => {
    const g = e.target.closest("[data-node], [data-group]");
    if (g && moved <= 4) activate(g);
  });
}

// Views, and the way to them.
const show = (view, keep) => {
  if (!keep) trail.push(current);
  views.forEach((section, i) => { section.hidden = i !== view; });
  current = view;
  if (!state[view].k) fit(state[view]);
  if (!views[view].querySelector('[tabindex="0"]')) {  // where Tab comes in
    views[view].querySelector("[data-box][tabindex]")?.setAttribute("tabindex", "0");
  }
  const path = $("trail");
  path.replaceChildren();
  if (trail.length) {
    path.append(make("button", "← back", {id: "back", onclick: back}),
      make("span", data.views[view].title));
  }
  for (const b of document.querySelectorAll("header [data-view]")) {
    b.setAttribute("aria-pressed", String(Number(b.dataset.view) === view));
  }
};
const back = () => {
  if (trail.length) show(trail.pop(), true);
};
const top_view = (view) => {
  trail.length = 0;
  show(view, true);
};

// The panel at the side.
const row = (list, term, text) => {
  if (text !== undefined && text !== null && text !== "") {
    list.append(make("dt", term), make("dd", text));
  }
};
const links = (head, ids) => {
  if (!ids.length) return [];
  const list = make("ul");
  for (const id of ids.slice(0, 60)) {
    const n = nodes.get(id);
    const li = make("li", undefined, {className: "link"});
    const name = n ? title(n) : `node ${id}`;
    li.append(make("button", name, {disabled: !n, onclick: () => go(id)}));
    list.append(li);
  }
  if (ids.length > 60) list.append(make("li", `and ${ids.length - 60} more`));
  return [make("h3", head), list];
};
const saved_item = (t) => {
  const li = make("li", undefined, {className: t.stale ? "stale" : ""});
  li.append(make("b", t.field), ` ${t.what}`);
  const small = [t.size, t.note].filter(Boolean).join(" · ");
  if (small) li.append(make("small", small));
  if (t.stale) {
    li.append(make("small", `saved at version ${t.stale[0]}, now at ` +
      `${t.stale[1]}: written to since, so backward will refuse it`));
  }
  return li;
};
const describe = (n) => {
  const list = make("dl");
  row(list, "kind", n.kind);
  if (n.leaf) row(list, "node", n.name);
  row(list, "name", n.label);
  row(list, "gradient", n.what);
  row(list, "operator", n.op);
  row(list, "module", n.module);
  row(list, "source", n.file ? `${n.file}:${n.line}` : "");
  row(list, "saved", n.size);
  row(list, "exclusive", n.exclusive);
  row(list, "in backward", `number ${n.order}`);
  row(list, "made", n.sequence);
  row(list, "stream", n.stream);
  row(list, "note", n.note);
  const saved = make("ul");
  for (const t of n.saved || []) saved.append(saved_item(t));
  const from = data.nodes.filter((m) => (m.to || []).includes(n.id));
  $("details").replaceChildren(make("h2", title(n)), list,
    ...(saved.children.length ? [make("h3", "Saved tensors"), saved] : []),
    ...links("Gradients come from", from.map((m) => m.id)),
    ...links("Gradients go to", [...new Set(n.to || [])]));
};
const describe_group = (g, view) => {
  const lines = [...g.querySelectorAll("text")].map((t) => t.textContent);
  const box = make("ul");
  for (const line of lines.slice(1)) box.append(make("li", line));
  const open = make("button", "Open", {onclick: () => show(view)});
  $("details").replaceChildren(make("h2", lines[0]), box,
    ...(view === undefined ? [] : [open]));
};
const highlight = (g) => {
  document.querySelectorAll("main .selected, main .on").forEach((e) =>
    e.classList.remove("selected", "on"));
  g.classList.add("selected");
  const box = g.dataset.box;
  for (const path of g.ownerSVGElement.querySelectorAll("path[data-from]")) {
    path.classList.toggle("on",
      path.dataset.from === box || path.dataset.to === box);
  }
  selected = g;
};
const choose = (g) => {
  highlight(g);
  for (const other of g.ownerSVGElement.querySelectorAll('[tabindex="0"]')) {
    other.setAttribute("tabindex", "-1");
  }
  g.setAttribute("tabindex", "0");
  g.focus({preventScroll: true});
  if (g.dataset.node !== undefined) {
    describe(nodes.get(Number(g.dataset.node)));
  } else {
    describe_group(g, data.groups[g.dataset.group]);
  }
};
const activate = (g) => {
  const again = g === selected;
  choose(g);
  const view = data.groups[g.dataset.group];
  if (again && view !== undefined) show(view);
};
const go = (id) => {
  const places = boxes.get(id);
  if (!places) return;
  const [view, g] = places.find(([v]) => v === current) || places.at(-1);
  if (view !== current) show(view);
  choose(g);
  center(state[view], g);
};

// Search.
const words = new Map(data.nodes.map((n) => [n.id,
  [n.name, n.leaf, n.label, n.op, n.module, n.file, ...(n.saved || []).map((t) => t.field)]
    .filter(Boolean).join("\n").toLowerCase()]));
$("search").addEventListener("input", () => {
  const text = $("search").value.trim().toLowerCase();
  $("found").replaceChildren();
  if (!text) return;
  const hits = data.nodes.filter((n) => words.get(n.id).includes(text));
  for (const n of hits.slice(0, 50)) {
    const button = make("button", title(n) + " ", {onclick: () => {
      $("found").replaceChildren();
      go(n.id);
    }});
    button.append(make("small", n.module || n.what || ""));
    const li = make("li");
    li.append(button);
    $("found").append(li);
  }
  if (hits.length !== Math.min(hits.length, 50) || !hits.length) {
    $("found").append(make("li", hits.length ?
      `and ${hits.length - 50} more` : "nothing found"));
  }
});
$("search").addEventListener("keydown", (e) => {
  const first = $("found").querySelector("button");
  if (e.key === "Enter" && first) first.click();
  if (e.key === "ArrowDown" && first) first.focus();
  if (e.key === "Escape") {
    $("search").value = "";
    $("found").replaceChildren();
    views[current].focus();
  }
});
$("found").addEventListener("keydown", (e) => {
  const li = e.target.closest("li");
  const next = e.key === "ArrowDown" ? li?.nextElementSibling
    : e.key === "ArrowUp" ? li?.previousElementSibling : null;
  if (next) (next.querySelector("button") || next).focus();
  if (e.key === "Escape") $("search").focus();
});

// The keyboard.
const middle = (g) => {
  const {x, y, width, height} = g.getBBox();
  return [x + width / 2, y + height / 2];
};
const step = (key) => {
  const svg = state[current].svg;
  const all = [...svg.querySelectorAll("[data-node], [data-group]")];
  if (!selected || selected.ownerSVGElement !== svg) return all[0];
  const [x, y] = middle(selected);
  let best = null, least = Infinity;
  for (const g of all) {
    if (g === selected) continue;
    const [gx, gy] = middle(g);
    const along = key === "ArrowDown" ? gy - y : key === "ArrowUp" ? y - gy
      : key === "ArrowRight" ? gx - x : x - gx;
    const vertical = key === "ArrowDown" || key === "ArrowUp";
    const aside = Math.abs(vertical ? gx - x : gy - y);
    if (along > 4 && along + 3 * aside < least) {
      least = along + 3 * aside;
      best = g;
    }
  }
  return best;
};
document.addEventListener("keydown", (e) => {
  if (e.target.closest("input") || e.ctrlKey || e.metaKey || e.altKey) return;
  const in_main = e.target.closest("main, body") && !e.target.closest("aside, header");
  const s = state[current];
  if (e.key === "/") {
    $("search").focus();
  } else if (e.key === "+" || e.key === "=") {
    zoom(s, 1.25);
  } else if (e.key === "-") {
    zoom(s, 0.8);
  } else if (e.key === "0") {
    fit(s, true);
  } else if (e.key === "Escape" || e.key === "Backspace") {
    back();
  } else if (in_main && e.key.startsWith("Arrow")) {
    const g = step(e.key);
    if (g) {
      choose(g);
      center(s, g);
    }
  } else if (in_main && (e.key === "Enter" || e.key === " ") &&
      e.target.closest("[data-node], [data-group]")) {
    activate(e.target.closest("[data-node], [data-group]"));
  } else {
    return;
  }
  e.preventDefault();
});
$("in").onclick = () => zoom(state[current], 1.25);
$("out").onclick = () => zoom(state[current], 0.8);
$("fit").onclick = () => fit(state[current], true);
for (const b of document.querySelectorAll("header [data-view]")) {
  b.onclick = () => top_view(Number(b.dataset.view));
}
addEventListener("resize", () => state.forEach((s) => s.k && apply(s)));
top_view(0);
document.documentElement.dataset.ready = "";
