/// libgrad/draw/page/style.h -- the style of the HTML page.

#pragma once

namespace libgrad::detail {

inline constexpr const char* kPageStyle = R"css(
:root { --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --bar: #f6f8fa; --on: #b34a00; }
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body { display: grid; grid-template: auto 1fr / 1fr 340px; color: var(--ink);
  background: var(--paper); color-scheme: light;
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica,
    Arial, "DejaVu Sans", sans-serif; }
header { grid-column: 1 / 3; display: flex; flex-wrap: wrap; gap: 6px 14px;
  align-items: center; padding: 8px 14px; background: var(--bar);
  border-bottom: 1px solid var(--line); }
h1 { font-size: 16px; margin: 0; max-width: 26em; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
header p { margin: 0; color: var(--soft); font-size: 13px; }
header .space { flex: 1; }
button, input { font: inherit; color: inherit; border-radius: 6px;
  border: 1px solid #8c959f; background: var(--paper); padding: 3px 9px; }
button { cursor: pointer; }
button:hover { background: #eaeef2; }
button[aria-pressed="true"] { background: #17415f; color: #fff; }
:focus-visible { outline: 3px solid #0969da; outline-offset: 1px; }
.search { position: relative; }
.search input { width: 15em; }
#found { position: absolute; right: 0; top: 100%; z-index: 2; margin: 4px 0 0;
  padding: 4px; list-style: none; background: var(--paper); width: 24em;
  max-height: 50vh; overflow: auto; border: 1px solid var(--line);
  border-radius: 6px; box-shadow: 0 6px 18px #0003; }
#found:empty { display: none; }
#found button { width: 100%; text-align: left; border: 0; }
#found small { color: var(--soft); }
main { position: relative; overflow: hidden; min-width: 0; }
main > section { position: absolute; inset: 0; }
main > section[hidden] { display: none; }
main svg { width: 100%; height: 100%; display: block; cursor: grab;
  touch-action: none; }
main svg.drag { cursor: grabbing; }
main svg [data-node], main svg [data-group] { cursor: pointer; }
main svg [tabindex]:focus { outline: none; }
main svg [tabindex]:focus-visible > rect[rx="5"],
main svg .selected > rect[rx="5"] { stroke: var(--on); stroke-width: 3.5; }
main svg path.on { stroke: var(--on); stroke-width: 2.6; }
#trail { position: absolute; left: 12px; top: 10px; z-index: 1; margin: 0;
  display: flex; gap: 4px; align-items: center; background: #fffd;
  border-radius: 6px; }
#legend { position: absolute; left: 12px; bottom: 10px; z-index: 1;
  background: #fffd; border-radius: 6px; padding: 4px 8px; font-size: 12px;
  max-width: calc(100% - 24px); display: flex; flex-wrap: wrap;
  gap: 3px 12px; border: 1px solid var(--line); }
#legend span::before { content: ""; display: inline-block; width: 16px;
  height: 10px; margin-right: 5px; border-radius: 3px; background: var(--f);
  border: 1.5px solid var(--s); }
#legend span.mark::before { width: 9px; height: 9px; border-radius: 2px; }
aside { border-left: 1px solid var(--line); overflow: auto; padding: 12px 16px;
  overflow-wrap: anywhere; }
aside h2 { font-size: 15px; margin: 0 0 6px; }
aside h3 { font-size: 13px; margin: 14px 0 4px; }
aside dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 10px;
  margin: 0; font-size: 13px; }
aside dt { color: var(--soft); }
aside dd { margin: 0; }
aside ul { margin: 0; padding: 0; list-style: none; font-size: 13px; }
aside li { margin: 0 0 6px; padding: 5px 8px; background: var(--bar);
  border-radius: 6px; }
aside li.stale { background: #ffebe9; box-shadow: inset 3px 0 #d62728; }
aside li small { display: block; color: var(--soft); }
aside li.link { padding: 0; background: none; margin: 0 0 3px; }
aside li.link button { width: 100%; text-align: left; }
kbd { font: 12px ui-monospace, monospace; border: 1px solid var(--line);
  border-radius: 4px; padding: 0 4px; background: var(--paper); }
@media (max-width: 760px) {
  body { grid-template: auto 1fr 38vh / 1fr; }
  header { grid-column: 1; }
  aside { border-left: 0; border-top: 1px solid var(--line); }
}
@media print { aside, header .search, header button { display: none; } }
)css";

}  // namespace libgrad::detail
