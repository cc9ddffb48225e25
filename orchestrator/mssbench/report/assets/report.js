"use strict";
// The table by track and the players. Values of the run are inserted as text, never as markup.

(() => {
  const PAGE = 25;
  const holder = document.getElementById("rows");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const form = document.getElementById("filters");
  const table = document.getElementById("tracks-table");
  const more = document.getElementById("more");
  const first = 5, status = first + data.metrics.length, reason = status + 1;
  const columns = [
    { label: "Track", at: 2 }, { label: "Stem", at: 3 }, { label: "Condition", at: 0 }, { label: "Separator", at: 1 },
    { label: "Azimuth", unit: "°", at: 4, decimals: 0 },
    ...data.metrics.map((metric, i) => ({ ...metric, at: first + i })),
    { label: "Status", at: status },
  ];
  const collator = new Intl.Collator("en", { numeric: true });
  let shown = PAGE;
  let sort = { at: data.metrics.length ? first : 2, descending: data.metrics.length > 0 && data.metrics[0].better === "lower", worst: true };

  const field = (id) => document.getElementById(id);
  const fill = (id, at) => {
    const select = field(id);
    select.append(new Option("all", ""));
    for (const value of new Set(data.rows.map((row) => row[at]))) select.append(new Option(value, value));
  };
  fill("f-condition", 0); fill("f-separator", 1); fill("f-stem", 3); fill("f-status", status);
  // If the run has only known-answer tests (probes), show them: the table would be empty.
  field("f-probes").checked = Object.values(data.kinds).every((kind) => kind === "probe");

  const format = (value, decimals) => {
    const text = value.toFixed(decimals);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
  };

  const selected = () => {
    const text = field("f-text").value.trim().toLowerCase();
    const wanted = [["f-condition", 0], ["f-separator", 1], ["f-stem", 3], ["f-status", status]]
      .map(([id, at]) => [at, field(id).value]).filter(([, value]) => value);
    const probes = field("f-probes").checked || wanted.some(([at]) => at === 1);
    const rows = data.rows.filter((row) =>
      (probes || data.kinds[row[1]] !== "probe") && wanted.every(([at, value]) => row[at] === value)
      && (!text || row[2].toLowerCase().includes(text) || row[reason].toLowerCase().includes(text)));
    const { at, descending, worst } = sort;
    const failed = (row) => (row[status] === "failed" ? 0 : 1);
    rows.sort((a, b) => {
      if (worst && failed(a) !== failed(b)) return failed(a) - failed(b);
      const x = a[at], y = b[at];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" ? x - y : collator.compare(x, y);
      return descending ? -order : order;
    });
    return rows;
  };

  const cell = (row, column) => {
    const td = document.createElement(column.at === 2 ? "th" : "td");
    const value = row[column.at];
    if (column.at === 2) td.scope = "row";
    if ("decimals" in column) td.className = "n";
    if (value === null) {
      const why = column.at === 4 ? "no azimuth in this condition" : row[reason] || row[status];
      const span = document.createElement("span");
      span.className = "none";
      span.title = why;
      span.setAttribute("role", "img");
      span.setAttribute("aria-label", `no value: ${why}`);
      span.textContent = "\u2013";
      td.append(span);
    } else if (column.at === 2) {
      const title = document.createElement("bdi");
      title.textContent = value;
      td.append(title);
    } else if (typeof value === "number") td.textContent = format(value, column.decimals);
    else td.textContent = column.at === status && row[reason] ? `${value}: ${row[reason]}` : value;
    return td;
  };

  const head = table.tHead.insertRow();
  for (const column of columns) {
    const th = document.createElement("th");
    th.scope = "col";
    if ("decimals" in column) th.className = "n";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.label;
    if (column.unit) {
      const unit = document.createElement("span");
      unit.className = "quiet";
      unit.textContent = ` (${column.unit})`;
      button.append(unit);
    }
    button.addEventListener("click", () => {
      sort = { at: column.at, descending: sort.at === column.at ? !sort.descending : false, worst: false };
      draw();
    });
    th.append(button);
    head.append(th);
  }

  const draw = () => {
    const rows = selected();
    columns.forEach((column, i) => {
      if (column.at === sort.at) head.cells[i].setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
      else head.cells[i].removeAttribute("aria-sort");
    });
    table.tBodies[0].replaceChildren(...rows.slice(0, shown).map((row) => {
      const tr = document.createElement("tr");
      tr.append(...columns.map((column) => cell(row, column)));
      return tr;
    }));
    field("f-count").textContent = `${rows.length} of ${data.rows.length} rows`;
    more.hidden = rows.length <= shown;
  };
  form.addEventListener("input", () => { shown = PAGE; draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { shown += 4 * PAGE; draw(); });
  form.hidden = false;
  draw();
})();

// Closed sections are neither searched nor printed by the browser.
const all = document.getElementById("open-all");
if (all) {
  all.hidden = false;
  all.addEventListener("click", () => {
    const open = all.textContent === "Open all";
    for (const one of document.querySelectorAll("details")) one.open = open;
    all.textContent = open ? "Close all" : "Open all";
  });
}

// A player has three signals of the same excerpt. All play and two are muted, so that switching is immediate.
for (const player of document.querySelectorAll("[data-player]")) {
  const audios = [...player.querySelectorAll("[data-audio]")];
  const choices = [...player.querySelectorAll("[data-source]")];
  const play = player.querySelector("[data-play]");
  const seek = player.querySelector("[data-seek]");
  const time = player.querySelector("[data-time]");
  let active = choices.findIndex((choice) => choice.getAttribute("aria-checked") === "true");

  const select = (index) => {
    const from = audios[active], to = audios[index];
    if (Math.abs(to.currentTime - from.currentTime) > 0.03) to.currentTime = from.currentTime;
    active = index;
    audios.forEach((audio, i) => { audio.muted = i !== active; });
    choices.forEach((choice, i) => {
      choice.setAttribute("aria-checked", String(i === active));
      choice.tabIndex = i === active ? 0 : -1;
    });
  };
  const label = () => { play.textContent = audios[active].paused ? "Play" : "Pause"; };
  const pause = () => { audios.forEach((audio) => audio.pause()); label(); };
  const start = async () => {
    for (const other of document.querySelectorAll("[data-player]")) if (other !== player) other.dispatchEvent(new Event("pause-player"));
    const at = Number(seek.value) >= Number(seek.max) - 0.05 ? 0 : Number(seek.value);
    for (const audio of audios) if (Math.abs(audio.currentTime - at) > 0.01) audio.currentTime = at;
    try { await Promise.all(audios.map((audio) => audio.play())); } catch (error) {
      if (error.name !== "AbortError") { time.textContent = "cannot play"; pause(); return; }
    }
    label();
  };
  const show = () => {
    seek.value = audios[active].currentTime;
    time.textContent = `${audios[active].currentTime.toFixed(1)} s`;
  };
  play.addEventListener("click", () => (audios[active].paused ? start() : pause()));
  seek.addEventListener("input", () => {
    for (const audio of audios) audio.currentTime = Number(seek.value);
    time.textContent = `${Number(seek.value).toFixed(1)} s`;
  });
  choices.forEach((choice, i) => {
    choice.addEventListener("click", () => select(i));
    choice.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (i + step + choices.length) % choices.length;
      select(next);
      choices[next].focus();
    });
  });
  audios.forEach((audio, i) => {
    audio.addEventListener("timeupdate", () => { if (i === active) show(); });
    audio.addEventListener("ended", () => { if (i === active) { pause(); show(); } });
  });
  player.addEventListener("pause-player", pause);
  select(active);
}
