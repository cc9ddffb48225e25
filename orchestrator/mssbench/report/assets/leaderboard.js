"use strict";
// Filters and order of the tables. Without scripts, all tables and columns are shown.

(() => {
  const form = document.getElementById("filters");
  const field = (id) => document.getElementById(id);
  const sections = [...document.querySelectorAll("section[data-condition]")];
  const tables = [...document.querySelectorAll(".by-stem table")];
  const heads = [...document.querySelectorAll("th[data-metric]")];
  form.hidden = false;

  for (const name of new Set(sections.map((one) => one.dataset.condition))) field("f-condition").append(new Option(name, name));
  const labels = new Map(heads.map((head) => [head.dataset.metric, head.dataset.label]));
  for (const [column, label] of labels) field("f-order").append(new Option(label, column));
  field("f-order").append(new Option("speed", "speed"));
  const only = field("f-metrics").appendChild(document.createElement("optgroup"));
  only.label = "one";
  for (const [column, label] of labels) only.append(new Option(label, column));

  // "All stems" has no model if all models are of a few stems.
  const models = (stem) => document.querySelector(`.by-stem[data-stem="${CSS.escape(stem)}"] .models a`);
  const stems = [...field("f-stem").options].map((option) => option.value);
  field("f-stem").value = stems.find(models) ?? stems[0];

  // Each table has main metrics of its own: those of a run of the paper's metrics are the paper's.
  const isMain = (cell) => Boolean(cell.closest("table").querySelector(`th[data-main][data-metric="${CSS.escape(cell.dataset.metric)}"]`));

  const sort = (table, key) => {
    const columns = [...table.tHead.rows[0].cells];
    const at = columns.findIndex((head) => (head.dataset.order ?? head.dataset.metric) === key);
    for (const head of columns) head.removeAttribute("aria-sort");
    if (at < 0) return;
    const higher = key === "speed" || columns[at].dataset.better === "higher";
    columns[at].setAttribute("aria-sort", higher ? "descending" : "ascending");
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      const value = (row) => (row.cells[at]?.dataset.value === undefined ? null : Number(row.cells[at].dataset.value));
      rows.map((row, i) => [row, value(row), i]).sort(([, a, i], [, b, j]) => {
        if (a === null || b === null) return (a === null) - (b === null) || i - j;
        return (higher ? b - a : a - b) || i - j;
      }).forEach(([row]) => body.append(row));
    }
  };

  const show = () => {
    const stem = field("f-stem").value, condition = field("f-condition").value;
    const chosen = field("f-metrics").value, order = field("f-order").value;
    const shown = (cell) => !chosen || [chosen, order].includes(cell.dataset.metric) || (chosen === "main" && isMain(cell));
    for (const section of sections) section.hidden = Boolean(condition) && section.dataset.condition !== condition;
    for (const table of document.querySelectorAll(".by-stem")) table.hidden = table.dataset.stem !== stem;
    for (const cell of document.querySelectorAll("[data-metric]")) cell.hidden = !shown(cell);
    for (const cost of document.querySelectorAll(".cost")) {
      const plots = [...cost.querySelectorAll("[data-plot]")];
      const plot = plots.find((one) => one.dataset.plot === order) ?? plots[0];
      for (const one of plots) one.hidden = one !== plot;
    }
    for (const table of tables) sort(table, order);
  };
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
