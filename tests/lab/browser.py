"""A page in headless Chromium that a test can point at, print and listen to, over the browser's own pipe."""

import fcntl
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

BROWSER = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome", "chrome"))), None
)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update"]  # fmt: skip


class Tab:
    """A page in a browser. State: the pipe's ends, the answers and events not yet looked at, what went wrong so far."""

    def __init__(self, send, receive):
        self.send, self.receive, self.n, self.session = send, receive, 0, None
        self.errors, self.requests, self.loaded, self.rest = [], [], False, b""

    def call(self, method, **parameters):
        """The answer to one command of the DevTools protocol."""
        self.n += 1
        message = {"id": self.n, "method": method, "params": parameters}
        os.write(
            self.send, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        while True:
            answer = self._next()
            if answer.get("id") == self.n:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url):
        """Load `url`, and wait until it is there."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.requests.clear()
        self.loaded = False
        self.call("Page.navigate", url=url)
        while not self.loaded:
            self._next()

    def value(self, expression):
        """What a JavaScript expression comes to in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression):
        """Wait until a JavaScript expression is true: what happens with the next frame."""
        deadline = time.monotonic() + 20
        while not self.value(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.02)

    def point(self, x, y, kind="mouseMoved", **more):
        """Move the mouse to (x, y), or press or release it there."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        """Press and release the left button."""
        for kind in ("mousePressed", "mouseReleased"):
            self.point(x, y, kind, button="left", clickCount=1)

    def _next(self):
        while b"\0" not in self.rest:
            part = os.read(self.receive, 1 << 16)
            assert part, "the browser has gone"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        event = json.loads(message)
        self._note(event.get("method"), event.get("params", {}))
        return event

    def _note(self, method, event):
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(event["exceptionDetails"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Log.entryAdded"):
            self.errors.append(json.dumps(event))


def _pipe():
    """Both ends of a pipe, numbered beyond the 3 and 4 where the browser looks for its own."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high


@contextmanager
def tab(folder, size=(1280, 900)):
    """A Tab; the browser's profile lies in `folder`."""
    theirs_in, ours_out = _pipe()
    ours_in, theirs_out = _pipe()
    window = f"--window-size={size[0]},{size[1]}"
    script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", script, "browser", BROWSER, *FLAGS, window, "--remote-debugging-pipe",
         f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Tab(ours_out, ours_in)
    finally:
        os.close(ours_out)
        process.terminate()
        process.wait(30)
        os.close(ours_in)
