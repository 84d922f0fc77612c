"""A headless Chromium for tests, driven over its DevTools protocol by a pair of pipes: no port, no driver, no package.

Source: https://chromedevtools.github.io/devtools-protocol/; the pipes: chrome --remote-debugging-pipe, JSON ended by
a zero byte, read from descriptor 3 and written to descriptor 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from board_rungs import missing

_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-component-update",
    "--disable-background-networking",
    "--mute-audio",
    "--remote-debugging-pipe",
)


class Browser:
    """One page of a browser that runs."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._id, self._rest = write, read, 0, b""
        self._session: str | None = None
        self.seen: list[dict[str, Any]] = []  # events: failed requests, exceptions, messages of the console
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for what it returns."""
        self._id += 1
        message: dict[str, Any] = {"id": self._id, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._id:
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result
            self.seen.append(said)

    def open(self, url: str) -> None:
        """Go to a page; it is there, scripts run, when this returns."""
        self.ask("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, promises awaited."""
        said = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 30.0) -> Any:
        """Wait until an expression is true -> its value."""
        until_s = time.monotonic() + seconds
        while not (value := self.value(expression)):
            assert time.monotonic() < until_s, f"in {seconds} s, never: {expression}"
            time.sleep(0.05)
        return value

    def size(self, width: int, height: int, *, dots: float = 1.0) -> None:
        """Set the window, in CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=dots, mobile=width < 600
        )

    def media(self, **features: str) -> None:
        """Set what the user prefers: prefers_color_scheme="dark"."""
        told = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", features=told)

    def picture(self, *, whole: bool = False) -> bytes:
        """A screenshot as PNG."""
        said = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(said["data"])

    def complaints(self) -> list[str]:
        """What the page's scripts threw, and what the browser logged as an error: refused loads among it."""
        self.value("0")  # what is on its way comes first
        found = []
        for said in self.seen:
            params = said.get("params", {})
            if said.get("method") == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif said.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], 60.0)
            assert ready, "the browser says nothing for a minute"
            more = os.read(self._read, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        first, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(first)
        return said


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile in a folder, or skip and name what is missing."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        missing("no Chromium: the live page is not tested in a browser; apt-get install chromium")
    command = [found, *_FLAGS, f"--user-data-dir={folder}"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # Chromium has none for root
    (their_in, our_out), (our_in, their_out) = _pipe(), _pipe()

    def take_pipes() -> None:
        os.dup2(their_in, 3)
        os.dup2(their_out, 4)

    process = subprocess.Popen(
        command,
        preexec_fn=take_pipes,
        pass_fds=(3, 4),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(their_in)
    os.close(their_out)
    try:
        yield Browser(our_out, our_in)
    finally:
        os.close(our_out)  # it ends when nobody speaks to it
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(our_in)


def _pipe() -> tuple[int, int]:
    """A pipe with both ends above the descriptors that Chromium wants."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
