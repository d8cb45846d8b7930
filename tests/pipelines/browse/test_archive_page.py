"""The archive's page in a real browser: films, search, play, label; hostile names stay texts."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="memvit browse needs the serve extra")
pytest.importorskip("selenium", reason="the page is tested with selenium")
import uvicorn
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from memvit.store import Archive
from memvit.store.index import update_index
from pipelines.browse.app import make_guarded_app
from pipelines.browse.library import BrowseOptions, FilmLibrary
from pipelines.web.listening import listening
from tests.pipelines.serve.browsing import needs_browser, opened, wait_for

from .stores import HOSTILE

pytestmark = needs_browser


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels") / "labels.csv"


@pytest.fixture(scope="module")
def indexed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive with an index of its clips."""
    pytest.importorskip("faiss", reason="an index needs the index extra")
    copied = tmp_path_factory.mktemp("indexed") / store.name
    shutil.copytree(store, copied)
    update_index(Archive.open(str(copied), writable=True), "clips")
    return copied


@pytest.fixture(scope="module")
def address(indexed: Path, labels: Path) -> Iterator[str]:
    """A server in a thread of this process."""
    app = make_guarded_app(FilmLibrary(BrowseOptions(str(indexed), labels)))
    with listening("127.0.0.1", 0) as (listener, address):
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield address
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[WebDriver]:
    with opened(address, "1300,900") as driver:
        yield driver


def texts(browser: WebDriver, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())"
    return list(browser.execute_script(script, selector))


def value(browser: WebDriver, expression: str) -> Any:
    return browser.execute_script(f"return {expression}")


def picture_of(browser: WebDriver, folder: Path, name: str) -> None:
    folder = Path(os.environ.get("MEMVIT_ARTIFACTS", folder))
    folder.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(folder / name))


def complaints(browser: WebDriver) -> list[str]:
    """What the console has complained of, without the pictures of the film that is gone."""
    found = [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    return [message for message in found if "gone-3/pictures" not in message]


def test_films_have_strips_and_names_are_texts(browser: WebDriver, address: str, tmp_path: Path) -> None:
    browser.get(f"{address}/")
    wait_for(lambda: len(texts(browser, ".film-name")) == 5)
    assert HOSTILE in texts(browser, ".film-name") and value(browser, "document.title") == "a.zarr · memvit archive"
    assert value(browser, "document.querySelectorAll('main img[src=\"x\"]').length") == 0
    wait_for(lambda: texts(browser, ".strip-names li")[:2] == ["stand", "wave"])
    wait_for(lambda: value(browser, "document.querySelectorAll('.loop img').length") == 2)
    assert "moved or deleted" in texts(browser, "[data-film='gone-3']")[0]
    assert {"unfinished", "failed"} == set(texts(browser, ".badge"))
    picture_of(browser, tmp_path, "archive_films.png")
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    for view in ("films", "search?action=wave", "film?id=b-2"):
        browser.get(f"{address}/#/{view}")
        wait_for(lambda: value(browser, "document.querySelector('main').innerText.includes('Reading') === false"))
        assert value(browser, "document.documentElement.scrollWidth") == 390
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(browser) == []


def test_a_result_is_labelled_and_played(browser: WebDriver, address: str, labels: Path, tmp_path: Path) -> None:
    browser.get(f"{address}/#/search")
    wait_for(lambda: texts(browser, ".filter select"))
    browser.execute_script("""const choice = document.querySelector('.filter select');
        choice.value = 'wave'; choice.dispatchEvent(new Event('change', { bubbles: true }));""")
    wait_for(lambda: texts(browser, ".results-top p") == ["3 results in 5 films."])
    assert texts(browser, ".result-film") == ["gone-3", "b-2", "a-1"], "the best one first"
    browser.find_element(By.CSS_SELECTOR, "[data-film='a-1'] .yes").click()
    browser.find_element(By.CSS_SELECTOR, "[data-film='b-2'] .no").click()
    wait_for(lambda: texts(browser, "#labels-note") == ["1 yes, 1 no · Labels CSV"])
    assert labels.read_text().splitlines() == ["video,seconds,person,label", "a-1,3.000,1,1", "b-2,3.000,1,0"]
    browser.find_element(By.CSS_SELECTOR, "[data-film='b-2'] .no").click()
    wait_for(lambda: labels.read_text().splitlines()[1:] == ["a-1,3.000,1,1"])
    picture_of(browser, tmp_path, "archive_search.png")
    browser.find_element(By.CSS_SELECTOR, "[data-film='a-1'] .result-picture").click()
    wait_for(lambda: (value(browser, "document.querySelector('video')?.currentTime") or 0) > 1.2)
    wait_for(lambda: texts(browser, ".box") == ["1", "2"])
    picture_of(browser, tmp_path, "archive_film.png")
    assert complaints(browser) == []


def test_moments_to_label_are_shown_and_answered(
    browser: WebDriver, address: str, labels: Path, tmp_path: Path
) -> None:
    browser.get(f"{address}/#/label")
    wait_for(lambda: "no labels of both kinds" in "".join(texts(browser, ".results-top p")))
    wait_for(lambda: value(browser, "document.querySelectorAll('.result .loop img').length"))
    wait_for(lambda: set(texts(browser, ".result .box")) == {"1", "2"})
    shape = "(({ clientWidth, clientHeight }) => clientWidth / clientHeight)"
    shown = value(browser, f"{shape}(document.querySelector('[data-film=\"b-2\"] .frame'))")
    assert shown == pytest.approx(1, abs=0.02), "the film is square, and shown whole, so that boxes fit"
    before, films = labels.read_text().splitlines(), texts(browser, ".result-film")
    assert texts(browser, ".tabs [aria-current]") == ["What to label"] and set(films) == {"a-1", "b-2"}
    browser.find_elements(By.CSS_SELECTOR, ".result .yes")[0].click()
    browser.find_elements(By.CSS_SELECTOR, ".result .no")[1].click()
    wait_for(lambda: len(labels.read_text().splitlines()) == len(before) + 2)
    picture_of(browser, tmp_path, "archive_label.png")
    browser.find_element(By.CSS_SELECTOR, ".filter .main").click()
    wait_for(lambda: "This action: 3 labels (2 with the action)" in "".join(texts(browser, ".results-top p")))
    assert complaints(browser) == []


def test_a_strip_plays_from_a_click_and_from_the_keyboard(browser: WebDriver, address: str) -> None:
    browser.get(f"{address}/#/film?id=a-1")
    wait_for(lambda: value(browser, "document.querySelector('video')?.readyState >= 1"))
    assert value(browser, "document.querySelector('video').paused")
    wait_for(lambda: texts(browser, ".strip-names li"))
    strip = browser.find_element(By.CSS_SELECTOR, ".strip-canvas")
    strip.send_keys("\ue011", "\ue014", "\ue014", "\ue014")  # Home, three times right
    assert (strip.get_attribute("aria-valuetext") or "").startswith("0:03 · wave 0.8")
    strip.send_keys("\ue007")  # Enter
    wait_for(lambda: value(browser, "document.querySelector('video').currentTime") > 2.9)
    wait_for(lambda: "wave" in "".join(texts(browser, ".moment-actions li")[:1]))
    browser.find_element(By.LINK_TEXT, "More like this moment").click()
    wait_for(lambda: texts(browser, ".example h2") == ["Moments that look like this one"])
    wait_for(lambda: "of 3 films that the index chose from 5" in texts(browser, ".results-top p")[0])
    assert len(texts(browser, ".result")) > 3
    browser.find_element(By.LINK_TEXT, "Compare all films").click()
    wait_for(lambda: "of 5 films, all compared exactly." in texts(browser, ".results-top p")[0])
    assert complaints(browser) == []


def test_a_film_that_is_gone_says_so_and_shows_its_actions(browser: WebDriver, address: str) -> None:
    browser.get(f"{address}/#/film?id=gone-3&t=3")
    wait_for(lambda: "moved or deleted" in "".join(texts(browser, ".film-note")))
    wait_for(lambda: texts(browser, ".strip-names li") == ["stand", "wave"])
    assert texts(browser, ".moment h3") == ["At 0:03"]
    browser.get(f"{address}/#/film?id=none")
    wait_for(lambda: texts(browser, ".empty") == ["There is no such film in the archive. All films"])


def test_a_film_that_the_browser_cannot_play_is_shown_as_pictures(browser: WebDriver, address: str) -> None:
    browser.get(f"{address}/#/film?id=b-2&t=2")
    wait_for(lambda: "cannot play this film" in "".join(texts(browser, ".film-note")))
    wait_for(lambda: value(browser, "document.querySelectorAll('.loop.large img').length") == 1)
    wait_for(lambda: texts(browser, ".moment h3") == ["At 0:02"])
