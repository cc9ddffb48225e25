// Every page is rendered by the service. This script asks for the page again when something happened (an event
// of the run, or so many seconds) and puts the parts marked data-live in place; it sends what buttons and the
// form say; it asks for the token where the service does.
"use strict";
(() => {
  const main = document.getElementById("main");
  const $ = (id) => document.getElementById(id);

  // What is shown ---------------------------------------------------------------------------------------------

  function place(part, fresh) {
    for (const key of Object.keys(part.dataset)) if (!(key in fresh.dataset)) delete part.dataset[key];
    Object.assign(part.dataset, fresh.dataset);
    if (part.innerHTML === fresh.innerHTML) return;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const open = [...part.querySelectorAll("details")].map((one) => one.open);
    const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    part.replaceChildren(...fresh.childNodes);
    part.querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? one.open; });
    part.querySelectorAll(".scroll").forEach((one, i) => { one.scrollLeft = scrolled[i] ?? 0; });
    if (focused) again(part, focused);
  }

  // The focus goes to what took the place of what had it, or else to the part: never back to the top.
  function again(part, gone) {
    const same = (gone.id && $(gone.id))
      || [...part.querySelectorAll(gone.tagName)].find((one) => gone.hasAttribute("href")
        ? one.getAttribute("href") === gone.getAttribute("href") : one.className === gone.className);
    if (!same) part.tabIndex = -1;
    (same || part).focus({ preventScroll: true });
  }

  let asking = null, askAgain = false;
  function refresh() {
    if (asking) { askAgain = true; return asking; }
    asking = (async () => {
      do {
        askAgain = false;
        try {
          const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
          if (answer.status >= 500) throw new Error(answer.statusText);
          if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
          $("offline").hidden = true;
        } catch { $("offline").hidden = false; }
      } while (askAgain);
    })().finally(() => { asking = null; });
    return asking;
  }

  function show(page) {
    for (const part of document.querySelectorAll("[data-live]")) {
      // What a person is filling in is replaced only until it is complete.
      if (part.dataset.live === "until-known" && !("pending" in part.dataset)) continue;
      const fresh = page.getElementById(part.id);
      if (fresh) place(part, fresh);
    }
    announce();
  }

  // A screen reader hears of a run when its state changes, and otherwise twice a minute at most.
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

  // What is sent ----------------------------------------------------------------------------------------------

  const KEPT = "mssbench-token";

  async function send(method, url, body) {
    for (;;) {
      const token = sessionStorage.getItem(KEPT);
      const headers = { Accept: "application/json" };
      if (body !== undefined) headers["Content-Type"] = "application/json";
      if (token) headers.Authorization = `Bearer ${token}`;
      const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) })
        .catch(() => { throw new Error("The service does not answer."); });
      const said = await answer.json().catch(() => ({}));
      if (answer.ok) return said;
      const reason = said.detail || said.title || `The service answered ${answer.status}.`;
      if (answer.status !== 401 || !(await askForToken(Boolean(token)))) throw new Error(reason);
    }
  }

  async function askForToken(refused) {
    sessionStorage.removeItem(KEPT);
    const value = $("token-value");
    if (refused) $("token-why").textContent = "That token was not accepted.";
    value.value = "";
    if ((await ask($("token"))) !== "use" || !value.value) return false;
    sessionStorage.setItem(KEPT, value.value);
    value.value = "";
    return true;
  }

  // The button that closed a dialog; "" where it was left.
  function ask(dialog) {
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
    button.setAttribute("aria-disabled", "true"); // not `disabled`, which would lose the focus
    problem(problemId, "");
    try { await work(); } catch (error) { problem(problemId, error.message); }
    button.removeAttribute("aria-disabled");
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-send]");
    if (!button) return;
    busy(button, async () => {
      const { confirm, done, then } = button.dataset;
      if (confirm && (await ask($(confirm))) !== "yes") return;
      const [method, url] = button.dataset.send.split(" ");
      await send(method, url);
      if (then) { location.assign(then); return; }
      await refresh();
      if (done) say(done);
    }, "problem");
  });

  function configuration(form) {
    const config = {};
    for (const field of form.elements) {
      if (!field.name || field.disabled) continue;
      if ("list" in field.dataset) {
        config[field.name] ??= [];
        if (field.checked) config[field.name].push(field.value);
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
    // Not form.dataset: the form has a field of that name.
    const said = form.getAttribute("data-problem");
    if (form.querySelector("[data-pending]")) {
      problem(said, "The services have not said yet what they offer. Try again in a moment.");
      return;
    }
    busy(form.querySelector("[type=submit]"), async () => {
      const run = await send("POST", form.getAttribute("data-launch"), configuration(form));
      location.assign(`/ui/runs/${encodeURIComponent(run.id)}`);
    }, said);
  });

  watch();
})();
