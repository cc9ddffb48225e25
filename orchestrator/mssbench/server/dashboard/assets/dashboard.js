// All pages are rendered by the service. This script loads the page again after an event of the run or a fixed
// time, and replaces the parts marked data-live. It sends the requests of buttons and of the form, and shows the
// token dialog when the service requires a token.
"use strict";
(() => {
  const main = document.getElementById("main");
  const $ = (id) => document.getElementById(id);

  // Display ---------------------------------------------------------------------------------------------------

  function replacePart(part, fresh) {
    for (const key of Object.keys(part.dataset)) if (!(key in fresh.dataset)) delete part.dataset[key];
    Object.assign(part.dataset, fresh.dataset);
    if (part.innerHTML === fresh.innerHTML) return;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const open = [...part.querySelectorAll("details")].map((one) => one.open);
    const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    part.replaceChildren(...fresh.childNodes);
    part.querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? one.open; });
    part.querySelectorAll(".scroll").forEach((one, i) => { one.scrollLeft = scrolled[i] ?? 0; });
    if (focused) restoreFocus(part, focused);
  }

  // Move the focus to the element that replaced the focused one, or else to the part, but not to the top of the page.
  function restoreFocus(part, gone) {
    const same = (gone.id && $(gone.id))
      || [...part.querySelectorAll(gone.tagName)].find((one) => gone.hasAttribute("href")
        ? one.getAttribute("href") === gone.getAttribute("href") : one.className === gone.className);
    if (!same) part.tabIndex = -1;
    (same || part).focus({ preventScroll: true });
  }

  let pending = null, repeat = false;
  function refresh() {
    if (pending) { repeat = true; return pending; }
    pending = (async () => {
      do {
        repeat = false;
        try {
          const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
          if (answer.status >= 500) throw new Error(answer.statusText);
          if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
          $("offline").hidden = true;
        } catch { $("offline").hidden = false; }
      } while (repeat);
    })().finally(() => { pending = null; });
    return pending;
  }

  function show(page) {
    for (const part of document.querySelectorAll("[data-live]")) {
      // The form must not change while a user fills it in: replace this part only until it is complete.
      if (part.dataset.live === "until-known" && !("pending" in part.dataset)) continue;
      const fresh = page.getElementById(part.id);
      if (fresh) replacePart(part, fresh);
    }
    announce();
  }

  // Announce each change of state to screen readers, and progress at most twice a minute.
  let saidAt = Date.now(), saidState = $("head")?.dataset.state;
  function announce() {
    const head = $("head");
    if (!head) return;
    const { state, summary } = head.dataset;
    if (state === saidState && (state !== "running" || Date.now() - saidAt < 30000)) return;
    if ($("said").textContent !== summary) say(summary);
    saidState = state;
  }

  function say(text) { saidAt = Date.now(); $("said").textContent = text; }

  function watch() {
    let stream = null;
    const running = () => $("head")?.dataset.state === "running";
    const listen = () => {
      if (!main.dataset.events || !running() || (stream && stream.readyState !== EventSource.CLOSED)) return;
      stream = new EventSource(main.dataset.events);
      stream.addEventListener("progress", refresh);
      stream.addEventListener("end", () => { stream.close(); refresh(); });
    };
    const tick = async () => {
      listen();
      if (!document.hidden && stream?.readyState !== EventSource.OPEN) await refresh();
    };
    if (main.dataset.every) setInterval(tick, 1000 * Number(main.dataset.every));
    document.addEventListener("visibilitychange", tick);
    listen();
  }

  // Requests --------------------------------------------------------------------------------------------------

  const TOKEN_KEY = "mssbench-token";

  async function send(method, url, body) {
    for (;;) {
      const token = sessionStorage.getItem(TOKEN_KEY);
      const headers = { Accept: "application/json" };
      if (body !== undefined) headers["Content-Type"] = "application/json";
      if (token) headers.Authorization = `Bearer ${token}`;
      const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) })
        .catch(() => { throw new Error("The service does not answer."); });
      const result = await answer.json().catch(() => ({}));
      if (answer.ok) return result;
      const reason = result.detail || result.title || `The service answered ${answer.status}.`;
      if (answer.status !== 401 || !(await askForToken(Boolean(token)))) throw new Error(reason);
    }
  }

  async function askForToken(refused) {
    sessionStorage.removeItem(TOKEN_KEY);
    const value = $("token-value");
    if (refused) $("token-why").textContent = "That token was not accepted.";
    value.value = "";
    if ((await openDialog($("token"))) !== "use" || !value.value) return false;
    sessionStorage.setItem(TOKEN_KEY, value.value);
    value.value = "";
    return true;
  }

  // Resolves to the value of the button that closed the dialog; "" if the dialog was dismissed.
  function openDialog(dialog) {
    return new Promise((answer) => {
      dialog.returnValue = "";
      dialog.addEventListener("close", () => answer(dialog.returnValue), { once: true });
      dialog.showModal();
    });
  }

  function problem(id, text) {
    const box = $(id);
    box.hidden = !text;
    box.textContent = text || "";
    if (text) box.focus();
  }

  async function busy(button, work, problemId) {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true"); // `disabled` would lose the focus
    problem(problemId, "");
    try { await work(); } catch (error) { problem(problemId, error.message); }
    button.removeAttribute("aria-disabled");
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-send]");
    if (!button) return;
    busy(button, async () => {
      const { confirm, done, then } = button.dataset;
      if (confirm && (await openDialog($(confirm))) !== "yes") return;
      const [method, url] = button.dataset.send.split(" ");
      await send(method, url);
      if (then) { location.assign(then); return; }
      await refresh();
      if (done) say(done);
    }, "problem");
  });

  function listIn(field) {
    const text = field.value.trim();
    try {
      const found = text ? JSON.parse(text) : [];
      if (Array.isArray(found)) return found;
    } catch { /* refused below */ }
    throw new Error(`${field.labels[0].textContent.trim()}: expected a JSON list of objects.`);
  }

  function configuration(form) {
    const config = {};
    for (const field of form.elements) {
      if (!(field.name || "json" in field.dataset) || field.disabled) continue;
      if ("list" in field.dataset) {
        config[field.name] ??= [];
        if (field.checked) config[field.name].push(field.value);
      } else if ("split" in field.dataset) {
        const parts = field.value.split(field.dataset.split === "line" ? "\n" : ",");
        config[field.name] = parts.map((part) => part.trim()).filter(Boolean);
      } else if ("json" in field.dataset) {
        // A list of objects that is added to the list of another field.
        if (field.type === "checkbox" && !field.checked) continue;
        config[field.dataset.json] = [...(config[field.dataset.json] ?? []), ...listIn(field)];
      } else if (field.type === "checkbox") config[field.name] = field.checked;
      else if (field.type !== "number") config[field.name] = field.value.trim();
      else if (field.value !== "") config[field.name] = Number(field.value);
    }
    return config;
  }

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-launch]");
    if (!form) return;
    event.preventDefault();
    // form.dataset would be the form's field "dataset".
    const problemId = form.getAttribute("data-problem");
    if (form.querySelector("[data-pending]")) {
      problem(problemId, "The services have not answered yet. Try again in a moment.");
      return;
    }
    busy(form.querySelector("[type=submit]"), async () => {
      const query = new URLSearchParams();
      for (const field of form.querySelectorAll("[data-query]")) if (field.value) query.set(field.dataset.query, field.value);
      const url = form.getAttribute("data-launch") + (query.size ? `?${query}` : "");
      const run = await send("POST", url, configuration(form));
      location.assign(`/ui/runs/${encodeURIComponent(run.id)}`);
    }, problemId);
  });

  // The cost of the run in the form, or why it would be refused. Without an answer, nothing is shown.
  function estimate() {
    const form = $("launch"), box = $("estimate");
    if (!form) return;
    let timer = 0, latest = 0;
    const ask = async () => {
      const turn = ++latest;
      let found = {};
      try {
        const config = configuration(form);
        const answer = config.dataset
          && await fetch(`/ui/estimate?config=${encodeURIComponent(JSON.stringify(config))}`);
        if (answer?.ok) found = await answer.json();
      } catch { /* the form is not complete, or the service does not answer */ }
      if (turn !== latest) return;
      box.textContent = found.problem ? `Not possible: ${found.problem}` : found.text ?? "";
    };
    const later = () => { clearTimeout(timer); timer = setTimeout(ask, 400); };
    form.addEventListener("input", later);
    later();
  }

  watch();
  estimate();
})();
