"""A real browser for the tests of pages."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="memvit serve needs the serve extra")
pytest.importorskip("selenium", reason="pages are tested with selenium")
from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed")
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


@contextmanager
def opened(address: str, window: str = "1600,1900") -> Iterator[WebDriver]:
    """The page at an address; the window is high enough for several cards."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={window}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        driver.get(address)
        yield driver
    finally:
        driver.quit()


@contextmanager
def on_a_phone(browser: WebDriver) -> Iterator[None]:
    """The page as a phone shows it; it fits the width."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)  # type: ignore[attr-defined]
    try:
        yield
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """As in tests.processes, but not so often: each look takes the browser's time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def errors(browser: WebDriver) -> list[str]:
    """What the browser's console has complained of since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def picture_of(browser: WebDriver, folder: Path, name: str) -> None:
    """A picture of the page, in the folder that the environment names, or in this one."""
    folder = Path(os.environ.get("MEMVIT_ARTIFACTS", folder))
    folder.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(folder / name))
