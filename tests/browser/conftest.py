"""Fixtures for both rigs. Where there is no Chromium the tests skip, and say so; never in CI."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from rigs import FLAGS, PATIENCE, Lab, Visit, executable, jupyterlab

HERE = Path(__file__).parent
expect.set_options(timeout=PATIENCE / 3)


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium():
    path = executable()
    if path is None:
        why = "no Chromium on PATH; name one in TRANSFORMER_LAB_CHROMIUM"
        must = os.environ.get("CI") or os.environ.get("TRANSFORMER_LAB_REQUIRE_BROWSER")
        if must:
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """visit(path, **context) opens a file; afterwards nothing may have gone out or gone wrong."""
    opened = []

    def open_page(path, **options):
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        opened.append(seen := Visit(context))
        seen.page.goto(Path(path).as_uri())
        return seen.page

    yield open_page
    for seen in opened:
        seen.page.context.close()
        assert seen.errors == []
        assert len(seen.requests) == 1, "the page asked for more than itself"


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory):
    with jupyterlab(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="module")
def lab(chromium, lab_server):
    """lab(name, cells) opens and runs a notebook; at the end no error and no foreign request."""
    opened = []

    def open_notebook(name, cells):
        opened.append(one := Lab(chromium, lab_server, name, cells))
        return one

    yield open_notebook
    for one in opened:
        one.page.context.close()
        assert one.foreign == []
        assert one.errors == []
