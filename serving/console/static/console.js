// Makes pages quicker; every one of them works without. Forms are sent and pages are looked at
// again in the background, and what differs is put in place; single keys press buttons.
"use strict";
(() => {
  const main = () => document.getElementById("content");
  const typing = (at) => at.closest("input, textarea, select, [contenteditable]") !== null;
  const where = () => location.pathname + location.search;
  const isLogin = (url) => new URL(url, location.href).pathname === "/console/login";
  let asked = 0, busy = false, sending = false, shown = where();

  // Pages come from this server and are parsed without running anything in them.
  async function load(url, options, how) {
    const mine = ++asked;
    busy = how === "go";
    document.body.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(url, { credentials: "same-origin", ...options });
      const page = await parsed(answer);
      if (mine !== asked) return;
      // Whatever stands before the server answers for it while it is away; nobody loses a page to that.
      const said = page && (answer.ok || how === "go") ? "" : page?.querySelector(".problem")?.textContent.trim();
      if (said || (!page && !answer.ok)) return trouble(said || away(how), "", how === "go");
      if (!page) return location.assign(answer.url);
      // Whoever was logged out meanwhile keeps what was typed.
      const out = isLogin(answer.url) && !isLogin(location.href);
      if (out && (how === "look" || options.method === "POST"))
        return trouble("You are logged out. Log in in another window, then go on here:", answer.url);
      trouble("");
      show(page, answer.url, how);
    } catch {
      if (mine === asked) trouble(away(how), "", how === "go");
    } finally {
      if (mine === asked) { busy = false; document.body.removeAttribute("aria-busy"); }
    }
  }

  // A page of the console; null: it is something else.
  async function parsed(answer) {
    const kind = answer.headers.get("content-type") || "";
    if (!kind.startsWith("text/html") || new URL(answer.url).origin !== location.origin) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return page.getElementById("content") && page;
  }
  const away = (how) => "The server did not answer. " + (how === "go"
    ? "What you typed is still here: try again." : "What is shown may be old; it is asked for again.");

  // What went wrong on the way here is said beside what is on the page, which stays.
  function trouble(text, url, goes = true) {
    const before = document.getElementById("trouble");
    // What somebody did is told until something works again, and nothing is told twice.
    if (text && before && (before.firstChild.data === text || (before.dataset.goes && !goes))) return;
    before?.remove();
    if (!text) return;
    const told = Object.assign(document.createElement("p"), { id: "trouble", className: "problem" });
    told.setAttribute("role", "alert");
    if (goes) told.dataset.goes = "1";
    main().prepend(told);
    told.textContent = text;
    if (url) told.append(" ", Object.assign(document.createElement("a"), { href: url, target: "_blank", textContent: "Log in" }));
    if (goes) told.scrollIntoView({ block: "nearest" });
  }

  function show(page, url, how) {
    const fresh = page.getElementById("content");
    document.querySelector("footer").replaceWith(page.querySelector("footer"));
    if (how === "look") {
      if (fresh.innerHTML === main().dataset.was) return;
      refresh(page, fresh);
      return;
    }
    document.title = page.title;
    for (const name of ["data-live", "data-every"]) {
      const value = page.body.getAttribute(name);
      value === null ? document.body.removeAttribute(name) : document.body.setAttribute(name, value);
    }
    document.querySelector("header").replaceWith(page.querySelector("header"));
    main().replaceWith(fresh);
    main().dataset.was = fresh.innerHTML;
    if (how === "go") history.pushState(null, "", url);
    shown = where();
    began();
    const first = main().querySelector("[data-focus]") || main();
    first.focus({ preventScroll: first !== main() });
    if (first === main()) scrollTo(0, 0);
  }

  // Part by part, so that nobody loses what was opened, typed or focused.
  function refresh(page, fresh) {
    for (const part of main().querySelectorAll("[data-part]")) {
      const other = fresh.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
      if (!other || other.innerHTML === part.innerHTML) continue;
      if (part.contains(document.activeElement) && typing(document.activeElement)) continue;
      const open = [...part.querySelectorAll("details")].map((each) => each.open);
      const at = focusedIn(part);
      part.replaceChildren(...other.childNodes);
      part.querySelectorAll("details").forEach((each, n) => { if (open[n]) each.open = true; });
      if (at) part.querySelector(at)?.focus({ preventScroll: true });
    }
    main().dataset.was = fresh.innerHTML;
    began();
  }

  function focusedIn(part) {
    const at = document.activeElement;
    if (!part.contains(at)) return null;
    if (at.id) return `#${CSS.escape(at.id)}`;
    const href = at.getAttribute("href");
    return href ? `a[href="${CSS.escape(href)}"]` : null;
  }

  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (event.defaultPrevented || !main().contains(form)) return;
    event.preventDefault();
    const method = (button?.getAttribute("formmethod") || form.method).toLowerCase();
    const fields = new FormData(form, button);
    const url = new URL(form.action);
    if (method === "get") {
      url.search = new URLSearchParams(fields);
      load(url, {}, "go");
    } else if (!sending) {
      // Whoever presses twice means it once.
      sending = true;
      const body = form.enctype === "multipart/form-data" ? fields : new URLSearchParams(fields);
      load(url, { method: "POST", body }, "go").finally(() => { sending = false; });
    }
  });
  addEventListener("popstate", () => { if (where() !== shown) location.reload(); });

  // Looking again: when the server says that something happened, and where a page wants it anyway.
  let due = 0, last = 0, source = null, polled = Date.now();
  const look = () => {
    due = 0;
    // What comes next may have been made before that happened.
    if (busy) return soon();
    last = polled = Date.now();
    load(location.href, {}, "look");
  };
  const soon = () => { due ||= setTimeout(look, Math.max(150, 1000 - (Date.now() - last))); };
  const kinds = () => (document.body.dataset.live || "").split(" ").filter(Boolean);
  function follow() {
    const wanted = kinds().length > 0 && !document.hidden;
    if (!wanted) { source?.close(); source = null; return; }
    if (source && source.readyState !== 2) return;
    source = new EventSource("/console/events");
    source.addEventListener("change", (event) => {
      if (kinds().some((kind) => event.data === kind || event.data.startsWith(`${kind}-`))) soon();
    });
    // What happened since the page was made, nobody told it.
    source.onopen = soon;
  }
  document.addEventListener("visibilitychange", follow);
  setInterval(() => {
    const silent = kinds().length > 0 && source?.readyState !== 1 ? 15 : 0;
    const every = Number(document.body.dataset.every) || silent;
    if (every && !document.hidden && Date.now() - polled >= every * 1000) look();
    if (silent) follow();
  }, 1000);

  // Keys: whatever has a data-key is pressed by it, unless somebody types or has switched them off.
  const off = () => localStorage.getItem("keys") === "off";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing(event.target)) return event.target.blur();
    if (off() || typing(event.target)) return;
    if (event.key === "j" || event.key === "k") return step(event.key === "j" ? 1 : -1, event);
    const at = [...main().querySelectorAll("[data-key]")].find((each) => each.dataset.key === event.key);
    if (!at || at.disabled) return;
    event.preventDefault();
    // A key that is held down would judge what has not been looked at.
    if (event.repeat) return;
    typing(at) ? at.focus() : at.click();
  });
  function step(by, event) {
    const rows = [...main().querySelectorAll("a[data-row]")];
    if (!rows.length) return;
    event.preventDefault();
    const at = rows.indexOf(document.activeElement);
    rows[Math.min(Math.max(at < 0 ? 0 : at + by, 0), rows.length - 1)].focus();
  }
  document.addEventListener("click", (event) => {
    const at = event.target.closest("[data-focuses], [data-keys]");
    if (!at) return;
    event.preventDefault();
    if (at.dataset.focuses) {
      const field = document.getElementById(at.dataset.focuses);
      field.focus();
      field.setSelectionRange?.(field.value.length, field.value.length);
    } else {
      localStorage.setItem("keys", off() ? "on" : "off");
      keys();
    }
  });
  function keys() {
    for (const each of document.querySelectorAll("[data-keys]")) {
      each.hidden = false;
      each.setAttribute("aria-pressed", String(!off()));
    }
  }

  // What was changed of a text, word by word, while it is typed.
  document.addEventListener("input", (event) => {
    const into = document.getElementById(event.target.dataset?.diff || "");
    if (into) into.replaceChildren(...differing(event.target.dataset.from, event.target.value));
  });
  function differing(before, after) {
    const a = before.match(/\s*\S+|\s+$/g) || [], b = after.match(/\s*\S+|\s+$/g) || [];
    const same = (i, j) => a[i].trim() === b[j].trim();
    if (a.length * b.length > 4e6) return [after];
    const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        best[i][j] = same(i, j) ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    const found = [];
    const put = (tag, text) => {
      const last = found.at(-1);
      if (last?.nodeName === tag.toUpperCase()) last.textContent += text;
      else found.push(Object.assign(document.createElement(tag), { textContent: text }));
    };
    for (let i = 0, j = 0; i < a.length || j < b.length;) {
      if (i < a.length && j < b.length && same(i, j)) { put("span", b[j]); i++; j++; }
      else if (j >= b.length || (i < a.length && best[i + 1][j] >= best[i][j + 1])) put("del", a[i++]);
      else put("ins", b[j++]);
    }
    return found;
  }

  function began() { keys(); follow(); }
  main().dataset.was = main().innerHTML;
  began();
})();
