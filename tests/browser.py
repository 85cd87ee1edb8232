"""A headless Chromium for pages, where one is installed."""

import shutil
from contextlib import contextmanager

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium():
    """A Playwright browser, to be used in a `with`. Raises `LookupError` with the reason where there is none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise LookupError("no Chromium is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise LookupError(f"{error}: pip install -r requirements-dev.txt") from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
