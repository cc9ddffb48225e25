"use strict";
// The table by track and the players. Values of the run are inserted as text, never as markup.

(() => {
  const PAGE = matchMedia("(max-width: 34rem)").matches ? 5 : 10;
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
    else if (column.at === status && row[reason]) {
      const span = document.createElement("span");
      span.textContent = span.title = `${value}: ${row[reason]}`;
      td.append(span);
    } else td.textContent = value;
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
  more.addEventListener("click", () => { shown += 10 * PAGE; draw(); });
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

// Arrow keys move through the options of a radio group.
function radioGroup(buttons, choose) {
  const select = (index) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-checked", String(i === index));
      button.tabIndex = i === index ? 0 : -1;
    });
    choose(index);
  };
  buttons.forEach((button, i) => {
    button.addEventListener("click", () => select(i));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (i + step + buttons.length) % buttons.length;
      select(next);
      buttons[next].focus();
    });
  });
  return select;
}

// A player has the signals of one stem in each condition. Those of the chosen condition play together and all but one
// are muted, so that switching is immediate.
for (const player of document.querySelectorAll("[data-player]")) {
  const play = player.querySelector("[data-play]");
  const seek = player.querySelector("[data-seek]");
  const time = player.querySelector("[data-time]");
  const takes = [...player.querySelectorAll("[data-take]")].map((element) => ({
    element,
    audios: [...element.querySelectorAll("[data-audio]")],
    buttons: [...element.querySelectorAll("[data-signal]")],
    traces: [...element.querySelectorAll("[data-trace]")],
    head: element.querySelector("[data-head]"),
    reference: JSON.parse(element.querySelector("[data-reference]").dataset.reference),
  }));
  let take = takes[0], active = 0, name = player.dataset.begin;

  const current = () => take.audios[active];
  const position = () => Number(seek.value);
  const text = (value, unit, decimals) => (value === null || value === undefined ? "\u2013" : `${value.toFixed(decimals).replace("-", "\u2212")} ${unit}`);
  const show = (at) => {
    seek.value = at;
    time.textContent = `${at.toFixed(1)} s`;
    const length = Number(seek.max) || 1, span = Number(take.head.dataset.span);
    take.head.setAttribute("transform", `translate(${(span * at / length).toFixed(1)})`);
    const trace = take.traces.find((one) => one.dataset.trace === name);
    const frame = Math.min(Math.floor(at * 10), take.reference.itd.length - 1);
    const own = trace ? JSON.parse(trace.dataset.values) : {};
    const cue = (key, unit, decimals) => `${text(trace ? own[key][frame] : null, unit, decimals)} (reference ${text(take.reference[key][frame], unit, decimals)})`;
    const place = trace && own.place.length ? `in place ${text(own.place[Math.min(Math.floor(at), own.place.length - 1)], "%", 0)}, ` : "";
    take.element.querySelector("[data-values-at]").textContent = `At ${at.toFixed(1)} s: ${place}ITD ${cue("itd", "\u00b5s", 0)}, ILD ${cue("ild", "dB", 1)}`;
  };
  const label = () => { play.textContent = current().paused ? "Play" : "Pause"; };
  const pause = () => { takes.forEach((one) => one.audios.forEach((audio) => audio.pause())); label(); };
  const start = async (at) => {
    for (const other of document.querySelectorAll("[data-player]")) if (other !== player) other.dispatchEvent(new Event("pause-player"));
    for (const audio of take.audios) if (Math.abs(audio.currentTime - at) > 0.01) audio.currentTime = at;
    try { await Promise.all(take.audios.map((audio) => audio.play())); } catch (error) {
      if (error.name !== "AbortError") { time.textContent = "cannot play"; pause(); return; }
    }
    label();
  };
  const selectSignal = (index) => {
    const from = current(), to = take.audios[index];
    if (Math.abs(to.currentTime - from.currentTime) > 0.03) to.currentTime = from.currentTime;
    active = index;
    name = take.buttons[index].dataset.signal;
    take.audios.forEach((audio, i) => { audio.muted = i !== active; });
    for (const trace of take.traces) trace.classList.toggle("on", trace.dataset.trace === name);
    for (const scores of take.element.querySelectorAll("[data-scores]")) scores.hidden = scores.dataset.scores !== name;
    show(position());
  };
  for (const one of takes) one.select = radioGroup(one.buttons, selectSignal);
  const selectTake = (index) => {
    const playing = !current().paused, at = playing ? current().currentTime : position();
    pause();
    take = takes[index];
    takes.forEach((one) => { one.element.hidden = one !== take; });
    const same = take.buttons.findIndex((button) => button.dataset.signal === name);
    active = Math.max(same, 0);
    for (const audio of take.audios) audio.currentTime = at;
    take.select(active);
    if (playing) start(at);
  };
  radioGroup([...player.querySelectorAll("[data-conditions] button")], selectTake);

  play.addEventListener("click", () => (current().paused ? start(position() >= Number(seek.max) - 0.05 ? 0 : position()) : pause()));
  seek.addEventListener("input", () => {
    for (const audio of take.audios) audio.currentTime = position();
    show(position());
  });
  for (const one of takes) one.audios.forEach((audio) => {
    audio.addEventListener("timeupdate", () => { if (audio === current() && !audio.paused) show(audio.currentTime); });
    audio.addEventListener("ended", () => { if (audio === current()) { pause(); show(audio.currentTime); } });
  });
  player.addEventListener("pause-player", pause);
  selectTake(0);
}

// The link of the section on the screen is marked, and a narrow screen scrolls to it.
(() => {
  const nav = document.querySelector("nav[aria-label=Sections]");
  if (!nav) return;
  const links = [...nav.querySelectorAll("a")];
  const mark = () => {
    const passed = links.filter((link) => document.querySelector(link.hash).getBoundingClientRect().top < innerHeight / 3);
    const here = scrollY > 0 && passed.length ? passed[passed.length - 1] : links[0];
    if (here.getAttribute("aria-current")) return;
    for (const link of links) link.removeAttribute("aria-current");
    here.setAttribute("aria-current", "true");
    nav.scrollLeft = here.offsetLeft - nav.clientWidth / 2;
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
})();
