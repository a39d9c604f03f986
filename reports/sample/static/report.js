// Draws the charts from the data in the page, sorts and filters tables. Asks for nothing outside it.
"use strict";

/** Above the plot, in the order of the data. */
const LEGEND = {
  orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant", traceorder: "normal",
};

const style = () => getComputedStyle(document.documentElement);

/** The figure with every `var(--name)` replaced by the style sheet's value. */
function resolved(value, values) {
  if (typeof value === "string" && value.startsWith("var(--")) {
    return values.getPropertyValue(value.slice(4, -1)).trim();
  }
  if (Array.isArray(value)) {
    return typeof value[0] === "object" ? value.map((one) => resolved(one, values)) : value;
  }
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v, values)]));
  }
  return value;
}

function axis(own, values) {
  const line = { gridcolor: values.grid, zerolinecolor: values.rule, linecolor: values.rule };
  const title = { standoff: 12, ...(own && own.title) };
  return { automargin: true, ticks: "outside", tickcolor: values.rule, ...line, ...own, title };
}

/** The axes of a figure, which may have plots over one another. */
function axes(layout, values) {
  const names = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name));
  const all = new Set(["xaxis", "yaxis", ...names]);
  return Object.fromEntries([...all].map((name) => [name, axis(layout[name], values)]));
}

/** The page's own colours and fonts around a figure's layout. */
function themed(layout, narrow) {
  const get = (name) => style().getPropertyValue(name).trim();
  const values = { grid: get("--grid"), rule: get("--rule") };
  const hover = { bgcolor: get("--raised"), bordercolor: values.rule, font: { color: get("--text") } };
  return {
    autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: get("--text") },
    margin: { l: 56, r: 16, t: 12, b: 48 },
    legend: { ...LEGEND, font: { size: narrow ? 12 : 13 } },
    hoverlabel: hover,
    ...layout,
    ...axes(layout, values),
  };
}

function draw(node) {
  const figure = JSON.parse(document.getElementById(`${node.id}-data`).textContent);
  const values = style();
  const layout = themed(resolved(figure.layout, values), node.clientWidth < 560);
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  Plotly.react(node, resolved(figure.data, values), layout, config);
}

function drawAll() {
  if (typeof Plotly === "undefined") return;
  for (const node of document.querySelectorAll("[data-chart]")) draw(node);
}

/** A cell's value for sorting; a hole always goes last. */
function key(row, column, kind) {
  const value = row.cells[column].dataset.value;
  if (value === undefined || value === "") return null;
  return kind === "number" ? Number(value) : value;
}

function compare(a, b, up) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  return up ? order : -order;
}

function sortBy(head, column) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  const body = head.closest("table").tBodies[0];
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...body.rows].map((row) => [key(row, column, head.dataset.sort), row]);
  rows.sort((a, b) => compare(a[0], b[0], up));
  body.append(...rows.map((pair) => pair[1]));
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(head, column));
    head.append(button);
  });
}

function makeFilters(form) {
  const table = document.getElementById("matrix");
  const off = (name) =>
    new Set([...form.querySelectorAll(`[data-filter="${name}"] input:not(:checked)`)].map((i) => i.value));
  const apply = () => {
    const [formats, precisions, devices] = ["format", "precision", "device"].map(off);
    for (const row of table.tBodies[0].rows) {
      row.hidden = formats.has(row.dataset.format) || precisions.has(row.dataset.precision);
    }
    for (const cell of table.querySelectorAll("[data-device]")) cell.hidden = devices.has(cell.dataset.device);
  };
  form.addEventListener("change", apply);
  form.hidden = false;
  apply();
}

drawAll();
for (const table of document.querySelectorAll("#matrix, [data-sortable]")) makeSortable(table);
for (const form of document.querySelectorAll(".filters")) makeFilters(form);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
matchMedia("print").addEventListener("change", drawAll);
