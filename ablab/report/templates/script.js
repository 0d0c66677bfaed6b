"use strict";
// Sorts a table by the column whose header is pressed: a number goes by data-value, a cell without one stays last.
const order = (cell) => (cell.dataset.value === undefined ? cell.textContent : cell.dataset.value === "" ? null : Number(cell.dataset.value));
const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
const sort = (table, header, column) => {
  const way = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const rows = [...table.tBodies[0].rows].map((row) => [order(row.cells[column]), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : way * compare(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
};
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sort(table, header, column));
    header.replaceChildren(button);
  });
}
// Shows one of several figures; without a script the first is there.
for (const choice of document.querySelectorAll(".choice")) {
  const figures = [...document.querySelectorAll(`[data-choice="${choice.dataset.of}"]`)];
  choice.querySelector("select").addEventListener("change", (event) => {
    figures.forEach((figure, i) => { figure.hidden = i !== event.target.selectedIndex; });
  });
  choice.hidden = false;
}
// Saves a figure as it is shown: with the colours of the page, on its ground.
const standalone = (svg) => {
  const colours = getComputedStyle(document.documentElement);
  const copy = svg.cloneNode(true);
  const ground = document.createElementNS(svg.namespaceURI, "rect");
  for (const [name, value] of [["width", "100%"], ["height", "100%"], ["fill", "var(--ground)"]]) ground.setAttribute(name, value);
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy).replaceAll("currentColor", "var(--ink)")
    .replace(/var\((--\w+)\)/g, (_, name) => colours.getPropertyValue(name).trim());
};
for (const downloads of document.querySelectorAll(".downloads")) {
  const svg = downloads.closest("figure")?.querySelector("svg");
  const link = downloads.querySelector("a[hidden]");
  if (!svg) continue;
  link.hidden = false;
  link.href = "#";
  link.download = `${downloads.dataset.figure}.svg`;
  link.addEventListener("click", () => {
    link.href = URL.createObjectURL(new Blob([standalone(svg)], { type: "image/svg+xml" }));
  });
}
// On paper nothing can be opened: what is closed is opened for as long as it is printed.
const closed = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => { opened = closed(); for (const one of opened) one.open = true; });
addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
