"""A real browser without a window, for tests of pages."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


def data_of(page: Path) -> Any:
    """What a page shows, as it keeps it."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def until(page: Any, script: str, argument: Any = None) -> None:
    """Wait until a script gives something true; Playwright's own wait needs ``eval``, which pages forbid."""
    end = time.monotonic() + 10
    while not page.evaluate(script, argument):
        assert time.monotonic() < end, script
        time.sleep(0.02)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium of this machine; the test is skipped where it or Playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are tested with Playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("pages are tested in Chromium, which is not on this machine; CHROMIUM names its file")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Opens a page of a folder; fails where the page has an error, asks for a dialog or reaches out of its folder."""
    contexts, faults = [], []

    def opened(folder: Path, width: int = 1200, height: int = 800, fragment: str = "", **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
        page.on("requestfailed", lambda request: faults.append(f"failed {request.url}"))
        page.on("request", lambda request: request.url.startswith("file:") or faults.append(request.url))
        page.goto((folder / "index.html").resolve().as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults
