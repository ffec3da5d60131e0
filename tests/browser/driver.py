"""Debian's Chromium, driven over W3C WebDriver by Debian's chromedriver. Loopback only."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "needs Debian's packages chromium and chromium-driver"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_AXE = Path(__file__).parent / "data" / "axe.min.js"
_KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c"}
PHONE, DESK = 360, 1280
T = TypeVar("T")


class BrowserError(AssertionError):
    """What the browser says went wrong."""


class Browser:
    """One window with its own cookies."""

    def __init__(self, http: httpx.Client, session: str) -> None:
        self._http = http
        self._path = f"/session/{session}"

    # Going and looking

    def go(self, url: str) -> None:
        """Open a page."""
        self._post("/url", {"url": url})

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._get("/url"))

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.run("return document.body.innerText"))

    def run(self, script: str, *given: Any) -> Any:
        """Run a script in the page."""
        return self._post("/execute/sync", {"script": script, "args": list(given)})

    def until(self, found: Callable[[], T], what: str = "", within_s: float = 60.0) -> T:
        """What is found as soon as there is something."""
        deadline = time.monotonic() + within_s
        while True:
            # A page that is being replaced answers with an error.
            with suppress(BrowserError):
                if value := found():
                    return value
            if time.monotonic() > deadline:
                raise BrowserError(
                    f"not within {within_s} s: {what}\n{self.url}\n{self.text()[:2000]}"
                )
            time.sleep(0.03)

    def sees(self, text: str, within_s: float = 60.0) -> None:
        """Wait until this can be read."""
        self.until(lambda: text in self.text(), text, within_s)

    # Acting, as people do

    def click(self, selector: str) -> None:
        """Click what a CSS selector names, when it is there."""
        self._acted(lambda: self._post(f"/element/{self._one(selector)}/click", {}))

    def press(self, name: str) -> None:
        """Press the button, or follow the link, that is called so."""
        self._acted(lambda: self._post(f"/element/{self._called(name)}/click", {}))

    def fill(self, label: str, text: str) -> None:
        """Write into the field with this label."""

        def write() -> None:
            element = self._labelled(label)
            self._post(f"/element/{element}/clear", {})
            self._post(f"/element/{element}/value", {"text": text})

        self._acted(write)

    def keys(self, *names: str) -> None:
        """Press keys, one after the other."""
        actions = [
            {"type": kind, "value": _KEYS.get(name, name)}
            for name in names
            for kind in ("keyDown", "keyUp")
        ]
        self._post("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def _acted(self, act: Callable[[], object]) -> None:
        """Once more where the page was replaced between looking and acting."""
        for last in (False, False, True):
            try:
                act()
            except BrowserError as error:
                if last or "stale element" not in str(error):
                    raise
            else:
                return

    def _one(self, selector: str) -> str:
        found = self.until(lambda: self._all("css selector", selector), selector)
        return found[0]

    def _called(self, name: str) -> str:
        quoted = _quoted(name)
        path = (
            f"//*[(self::button or self::a or self::summary) and normalize-space(.)={quoted}"
            f" and not(ancestor::details[not(@open)] and not(self::summary))]"
        )
        return self.until(lambda: self._all("xpath", path), f"button {name}")[0]

    def _labelled(self, label: str) -> str:
        words = f"normalize-space(.)={_quoted(label)}"
        begins = f"starts-with(normalize-space(.),{_quoted(label)})"
        exact, near = (f"//*[@id=//label[{each}]/@for]" for each in (words, begins))

        def found() -> list[str]:
            return self._seen("xpath", exact) or self._seen("xpath", near)

        return self.until(found, f"field {label}")[0]

    def _seen(self, using: str, value: str) -> list[str]:
        return [e for e in self._all(using, value) if self._get(f"/element/{e}/displayed")]

    def _all(self, using: str, value: str) -> list[str]:
        found = self._post("/elements", {"using": using, "value": value})
        return [each[_ELEMENT] for each in found]

    # How it is shown

    def device(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Another screen."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self._cdp("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._cdp("Emulation.setEmulatedMedia", {"features": [scheme]})

    def scripts(self, *, allowed: bool) -> None:
        """Whether pages may run scripts."""
        self._cdp("Emulation.setScriptExecutionDisabled", {"value": not allowed})

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self._cdp("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    def overflow(self) -> int:
        """Pixels that the page is wider than the screen."""
        return int(
            self.run(
                "return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
                " - document.documentElement.clientWidth"
            )
        )

    def violations(self, *rules: str) -> list[str]:
        """What axe finds wrong, with the places; by these of its rules, or by all."""
        self.run(_AXE.read_text() + "\nwindow.axe = axe;")
        script = (
            "const done = arguments[arguments.length - 1];"
            "const only = arguments[0].length ? {runOnly: arguments[0]} : {};"
            "axe.run(document, {resultTypes: ['violations'], ...only})"
            ".then(r => done(r.violations.map("
            "v => v.id + ': ' + v.nodes.map(n => n.target.join(' ') + ' ' + "
            "(n.any[0] || n.all[0] || n.none[0] || {}).message).join(' | '))));"
        )
        found: list[str] = self._post("/execute/async", {"script": script, "args": [rules]})
        return found

    def requested(self) -> list[str]:
        """Addresses of everything that was loaded since the last question."""
        rows = self._post("/se/log", {"type": "performance"})
        told = [json.loads(row["message"])["message"] for row in rows]
        return [
            each["params"]["request"]["url"]
            for each in told
            if each["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """What the page's console says that is worse than a note, errors answered by us aside."""
        rows = self._post("/se/log", {"type": "browser"})
        return [
            row["message"]
            for row in rows
            if row["level"] in ("SEVERE", "WARNING") and "status of 4" not in row["message"]
        ]

    def dialog(self) -> str | None:
        """What an open dialog of a script says; None: there is none."""
        answer = self._http.get(f"{self._path}/alert/text")
        return str(answer.json()["value"]) if answer.status_code == 200 else None

    def forget(self) -> None:
        """Cookies and whatever pages have stored."""
        self._http.delete(f"{self._path}/cookie")

    def cookie(self, name: str, value: str) -> None:
        """Have one, as if a page of another window had got it."""
        self._post("/cookie", {"cookie": {"name": name, "value": value, "path": "/console"}})

    def offline(self, *, away: bool) -> None:
        """Whether no server can be reached."""
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._cdp("Network.emulateNetworkConditions", {"offline": away, **speed})

    def _cdp(self, command: str, given: dict[str, Any]) -> Any:
        return self._post("/goog/cdp/execute", {"cmd": command, "params": given})

    def _get(self, path: str) -> Any:
        return _value(self._http.get(self._path + path))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return _value(self._http.post(self._path + path, json=body))


def _quoted(text: str) -> str:
    """As XPath writes a text."""
    return json.dumps(text, ensure_ascii=False)


def _value(answer: httpx.Response) -> Any:
    value = answer.json()["value"]
    if answer.status_code != 200:
        raise BrowserError(f"{value['error']}: {value['message']}")
    return value


@contextmanager
def browser() -> Iterator[Browser]:
    """A window that reaches this machine only."""
    assert DRIVER is not None
    with subprocess.Popen(
        [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            with httpx.Client(base_url=_address(process), timeout=60, trust_env=False) as http:
                yield from _session(http)
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"started successfully on port (\d+)", line)
        if found:
            return f"http://127.0.0.1:{found[1]}"
    raise BrowserError("chromedriver did not start")


def _session(http: httpx.Client) -> Iterator[Browser]:
    options = {
        "binary": CHROMIUM,
        "args": [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ],
    }
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        "timeouts": {"script": 30_000, "pageLoad": 30_000},
    }
    made = _value(http.post("/session", json={"capabilities": {"alwaysMatch": wanted}}))
    found = Browser(http, made["sessionId"])
    try:
        yield found
    finally:
        http.delete(f"/session/{made['sessionId']}")
