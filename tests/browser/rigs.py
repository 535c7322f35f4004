"""Two rigs in real Chromium: a page from a file, and a notebook in JupyterLab on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Route, expect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = {"", "localhost", "127.0.0.1", "::1"}
PATIENCE = 60_000  # ms: a busy machine is slow, not wrong
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
IDLE = (
    "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
)
EXECUTE = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const run = kernel.requestExecute({ code });
  let text = "";
  run.onIOPub = ({ header, content }) => {
    if (header.msg_type === "stream") text += content.text;
    if (header.msg_type === "error") text += content.evalue;
  };
  await run.done;
  return text.trim();
}"""


def executable() -> str | None:
    """Chromium's path: the one that TRANSFORMER_LAB_CHROMIUM names, else the first on PATH."""
    named = os.environ.get("TRANSFORMER_LAB_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    return found if found and Path(found).exists() else None


class Visit:
    """A page that lets nothing out: foreign requests are stopped, and all trouble is kept."""

    def __init__(self, context: BrowserContext) -> None:
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        context.route("**/*", self._guard)
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)

    def _guard(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        self.requests.append(route.request.url)
        if address.scheme in {"http", "https", "ws", "wss"} and address.hostname not in LOCAL:
            self.foreign.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


@contextmanager
def jupyterlab(home: Path) -> Iterator[tuple[str, Path]]:
    """(address, folder of notebooks) of a server that knows nothing of the user's own settings."""
    (folder := home / "notebooks").mkdir()
    for name, values in SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--port-retries=0", "--IdentityProvider.token=secret"]
    command += [f"--ServerApp.root_dir={folder}", "--expose-app-in-browser", "--allow-root"]
    address, log = f"http://127.0.0.1:{port}", home / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(server, address, log)
        yield address, folder
    finally:
        server.terminate()
        server.wait(30)


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api?token=secret", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab does not answer: {log.read_text()[-2000:]}")


class Lab(Visit):
    """A notebook of these cells, opened in JupyterLab and run."""

    def __init__(
        self, browser: Browser, server: tuple[str, Path], name: str, cells: Sequence[str]
    ) -> None:
        super().__init__(browser.new_context(viewport={"width": 1280, "height": 1000}))
        address, folder = server
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / name)
        self.page.goto(f"{address}/lab/tree/{name}?token=secret&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        # Run before the kernel is there, JupyterLab asks which kernel to take and waits.
        self.page.wait_for_function(IDLE)
        self.command("notebook:run-all-cells")
        failed = self.page.locator('.jp-RenderedText[data-mime-type*="stderr"]')
        last = self.page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").last
        done = failed.first.or_(last.get_by_text(str(len(cells))))
        expect(done).to_be_visible(timeout=PATIENCE)
        assert failed.all_inner_texts() == []

    def command(self, name: str, **arguments: Any) -> None:
        """A command of JupyterLab by its id."""
        run = "([name, arguments]) => window.jupyterapp.commands.execute(name, arguments)"
        self.page.evaluate(run, [name, arguments])

    def cells(self) -> int:
        """How many cells the notebook has now."""
        return self.page.locator(".jp-Notebook .jp-Cell").count()

    def python(self, code: str) -> str:
        """Runs code in the notebook's kernel; what it prints."""
        return self.page.evaluate(EXECUTE, code)
