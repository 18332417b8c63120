/// libgrad/draw/page/moves.h -- the first part of the page's program:
/// its views, and moving and zooming in them.

#pragma once

namespace libgrad::detail {

inline constexpr const char* kPageMoves = R"js(
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
)js";

}  // namespace libgrad::detail
