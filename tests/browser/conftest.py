"""Two rigs in real Chromium: an exported page from a file, and JupyterLab on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

HERE = Path(__file__).parent
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
expect.set_options(timeout=20_000)  # a busy machine is slow, not wrong

SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


def executable():
    """Chromium's path, or a skip; a failure where the tests are there to be run."""
    named = os.environ.get("TRANSFORMER_LAB_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found and Path(found).exists():
        return found
    why = "no Chromium on PATH; name one in TRANSFORMER_LAB_CHROMIUM"
    if os.environ.get("CI") or os.environ.get("TRANSFORMER_LAB_REQUIRE_BROWSER"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def chromium():
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page that lets nothing out: foreign requests are stopped, and all trouble is kept."""

    def __init__(self, context):
        self.foreign, self.errors, self.requests = [], [], []
        context.route("**/*", self._guard)
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)

    def _guard(self, route):
        address = urlsplit(route.request.url)
        self.requests.append(route.request.url)
        if address.scheme in {"http", "https", "ws", "wss"} and address.hostname not in LOCAL:
            self.foreign.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    def _hear(self, message):
        if message.type == "error":
            self.errors.append(message.text)


@pytest.fixture
def visit(chromium):
    """visit(path, **context) opens a file; afterwards nothing may have gone out or gone wrong."""
    opened = []

    def open_page(path, **options):
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        seen = Visit(context)
        opened.append((context, seen))
        seen.page.goto(Path(path).as_uri())
        seen.page.set_default_timeout(20_000)
        return seen.page

    yield open_page
    for context, seen in opened:
        context.close()
        assert seen.errors == []
        assert len(seen.requests) == 1, "the page asked for more than itself"


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory):
    """JupyterLab on loopback, apart from the user's own settings: (address, folder)."""
    home = tmp_path_factory.mktemp("jupyter")
    (folder := home / "notebooks").mkdir()
    for name, values in SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
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
    log = home / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if server.poll() is not None:
                pytest.fail(f"JupyterLab ended: {log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"{address}/api?token=secret", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"JupyterLab did not answer: {log.read_text()[-2000:]}")
        yield address, folder
    finally:
        server.terminate()
        server.wait(20)


class Lab(Visit):
    """A notebook, open and run in JupyterLab."""

    def __init__(self, context, server, name, cells):
        super().__init__(context)
        address, folder = server
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / name)
        self.page.set_default_timeout(60_000)
        self.page.goto(f"{address}/lab/tree/{name}?token=secret&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        # Run before the kernel is there, JupyterLab asks which kernel to take and waits.
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext"
            ".session?.kernel?.status === 'idle'"
        )
        self.command("notebook:run-all-cells")
        failed = self.page.locator('.jp-RenderedText[data-mime-type*="stderr"]')
        last = self.page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").last
        expect(failed.first.or_(last.get_by_text(str(len(cells))))).to_be_visible(timeout=60_000)
        assert failed.all_inner_texts() == []

    def command(self, name, **arguments):
        self.page.evaluate(
            "([n, a]) => window.jupyterapp.commands.execute(n, a)", [name, arguments]
        )

    def cells(self):
        return self.page.locator(".jp-Notebook .jp-Cell").count()

    def python(self, code):
        """Runs code in the notebook's kernel; what it prints."""
        return self.page.evaluate(
            """async (code) => {
              const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              const run = kernel.requestExecute({ code });
              let text = "";
              run.onIOPub = ({ header, content }) => {
                if (header.msg_type === "stream") text += content.text;
                if (header.msg_type === "error") text += content.evalue;
              };
              await run.done;
              return text.trim();
            }""",
            code,
        )


@pytest.fixture(scope="module")
def lab(chromium, lab_server):
    """lab(name, cells) opens and runs a notebook; at the end no error and no foreign request."""
    opened = []

    def open_notebook(name, cells):
        context = chromium.new_context(viewport={"width": 1280, "height": 1000})
        opened.append((context, one := Lab(context, lab_server, name, cells)))
        return one

    yield open_notebook
    for context, one in opened:
        context.close()
        assert one.foreign == []
        assert one.errors == []
