"""The report's style sheet and its one script. Colours are Okabe and Ito's, which everyone can tell apart."""

from __future__ import annotations

STYLE_SHEET = """
:root { color-scheme: light dark; --paper: #ffffff; --text: #1a1f29; --soft: #566070; --line: #d7dbe2;
  --panel: #f6f7f9; --s0: #0072b2; --s1: #b34700; --s2: #00795a; --s3: #a23f78; --warn: #a11d1d; }
@media (prefers-color-scheme: dark) { :root { --paper: #111827; --text: #eceff4; --soft: #a9b2c0; --line: #374151;
  --panel: #1a2333; --s0: #56b4e9; --s1: #e69f00; --s2: #2fc79b; --s3: #de8fc0; --warn: #ff9d9d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text);
  font: 16px/1.5 system-ui, "Liberation Sans", Helvetica, Arial, sans-serif; }
main { max-width: 800px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 40px 0 12px; border-bottom: 1px solid var(--line); padding-bottom: 4px; }
code { font: 0.875em ui-monospace, "Liberation Mono", Menlo, monospace; overflow-wrap: anywhere; }
h3 { font-size: 1rem; font-weight: 600; margin: 20px 0 0; }
p { margin: 8px 0; overflow-wrap: anywhere; }
.note, footer, figcaption { color: var(--soft); font-size: 0.875rem; overflow-wrap: anywhere; }
.warning { color: var(--warn); font-weight: 600; }
footer { margin-top: 40px; }
.chart { display: block; width: 100%; min-width: 560px; height: auto; margin: 12px 0; font-size: 12px; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(220px, 45%), 1fr)); gap: 8px; }
.chart.small { min-width: 0; margin: 0; font-size: 11px; }
.chart text { fill: var(--text); }
.chart .tick, .chart .axis, .chart .value { fill: var(--soft); }
.chart .axis { text-anchor: middle; }
.chart .small-title { font-weight: 600; }
.chart .grid { stroke: var(--line); stroke-width: 1; fill: none; }
.chart .bar { fill: var(--s0); }
.chart .line { fill: none; stroke-width: 2; }
.chart .series0 { stroke: var(--s0); }
.chart .series1 { stroke: var(--s1); }
.chart .series2 { stroke: var(--s2); }
.chart .series3 { stroke: var(--s3); }
.chart .line.series1 { stroke-dasharray: 7 4; }
.chart .line.series2 { stroke-dasharray: 2 3; }
.chart .line.series3 { stroke-dasharray: 9 3 2 3; }
.chart .mark { fill: var(--paper); stroke-width: 1.5; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 12px 3px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
thead th { color: var(--soft); }
.number { text-align: right; }
tbody .number { font-family: ui-monospace, "Liberation Mono", Menlo, monospace; font-size: 0.8125rem; }
details { margin: 8px 0; }
summary { cursor: pointer; color: var(--soft); font-size: 0.875rem; }
details .scroll { max-height: 420px; overflow: auto; }
figure { margin: 12px 0; }
img { max-width: 100%; height: auto; }
#graph { overflow: auto; max-height: 75vh; border: 1px solid var(--line); border-radius: 6px; }
#graph svg { display: block; margin: 0 auto; }
#graph.drag { cursor: grabbing; user-select: none; }
.zoom button { font: inherit; font-size: 0.875rem; margin-right: 8px; padding: 4px 12px; color: var(--text);
  background: var(--panel); border: 1px solid var(--line); border-radius: 6px; cursor: pointer; }
@media print {
  :root { --paper: #ffffff; --text: #000000; --soft: #444444; --line: #cccccc; --s0: #0072b2; --s1: #b34700;
    --s2: #00795a; --s3: #a23f78; --warn: #a11d1d; color-scheme: light; }
  main { max-width: none; padding: 0; }
  .zoom, details:not([open]) { display: none; }
  .chart, figure, tr { break-inside: avoid; }
  .chart { min-width: 0; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  #graph { max-height: none; border: 0; overflow: visible; }
  #graph svg { width: auto !important; height: auto !important; max-width: 100%; }
}
"""

_LONGEST_FROM_POINT = 22
"""Of the shortest text of a number, as in `1.2345678901234567e-308`."""
STYLE_SHEET += "".join(
    f".pad{count} {{ padding-right: calc(12px + {count}ch); }}\n" for count in range(1, _LONGEST_FROM_POINT + 1)
)

GRAPH_SCRIPT = """
"use strict";
(() => {
  const graph = document.getElementById("graph"), svg = graph.querySelector("svg");
  const width = svg.viewBox.baseVal.width;
  let scale = 1;
  const show = (wanted, x, y) => {
    const before = scale;
    scale = Math.min(8, Math.max(0.05, wanted));
    const left = (graph.scrollLeft + x) * scale / before - x, top = (graph.scrollTop + y) * scale / before - y;
    svg.style.width = width * scale + "px";
    svg.style.height = "auto";
    graph.scrollTo(left, top);
  };
  const fit = () => show(Math.min(1, graph.clientWidth / width), 0, 0);
  const buttons = document.querySelector(".zoom");
  buttons.hidden = false;
  buttons.addEventListener("click", event => {
    const factor = Number(event.target.dataset.zoom ?? NaN);
    if (factor === 0) fit();
    else if (factor === 1) show(1, 0, 0);
    else if (factor) show(scale * factor, graph.clientWidth / 2, graph.clientHeight / 2);
  });
  graph.addEventListener("wheel", event => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const place = graph.getBoundingClientRect();
    show(scale * Math.exp(-event.deltaY / 300), event.clientX - place.left, event.clientY - place.top);
  }, { passive: false });
  graph.addEventListener("pointerdown", event => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    graph.setPointerCapture(event.pointerId);
    graph.classList.add("drag");
  });
  graph.addEventListener("pointermove", event => {
    if (graph.classList.contains("drag")) graph.scrollBy(-event.movementX, -event.movementY);
  });
  for (const end of ["pointerup", "pointercancel"])
    graph.addEventListener(end, () => graph.classList.remove("drag"));
  fit();
})();
"""
