"""History, the bell and zones on the page, in a real browser and with a server in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from torch import nn

from memvit.datasets.long_cue import Scene, write_video
from memvit.events.event import Event
from pipelines.record.options import RecordOptions
from pipelines.record.recording import Recording
from pipelines.record.store import files_of
from pipelines.serve.event_options import event_options
from pipelines.serve.reloading import Reloader
from pipelines.serve.server_config import ServerConfig, load_config
from pipelines.serve.zones import zone_file
from tests.pipelines.serve.browsing import errors, needs_browser, on_a_phone, opened, picture_of, wait_for
from tests.pipelines.serve.serving import make_service, state_of

pytest.importorskip("selenium", reason="the page is tested with selenium")
import httpx
import uvicorn
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from pipelines.serve.app import make_app

pytestmark = needs_browser
CONFIG = """\
# of the house
rules:
  - {name: waving, actions: [hand wave], start_score: 1, zones: [entrance]}
  - {name: there, actions: [1], start_score: 0, zones: [entrance]}
zones:
  entrance: {streams: [door], polygon: [[0.2, 0.5], [0.8, 0.5], [0.9, 0.95], [0.1, 0.95]]}  # the steps
"""
LONG_NAME = "the-camera-above-the-second-entrance-of-the-parking-garage-west"
MANY = 4990


def made_event(number: int, **changes: Any) -> Event:
    """An event of today at one minute for each number ago."""
    at = time.time() - 60 * number
    event = Event(
        f"{number:016x}", "waving" if number % 3 else "loitering", "door", number % 4 or None, "hand wave", "end",
        12.0, 31.0, at, at + 19, 0.91, 0.64, "entrance", 14, 20.0, (0.2, 0.1, 0.4, 0.9),
    )  # fmt: skip
    return replace(event, **changes)


class House:
    """A server with a stream, events, and recordings of some of them."""

    def __init__(self, tiny: nn.Module, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "server.yaml"
        self.file.write_text(CONFIG)
        write_video(Scene(seed=4, seconds=8, width=320, height=180, frames_per_second=10), folder / "door.mp4")
        self.service = make_service(tiny, folder, events=self._read()[1])
        self.service.reload = Reloader(self.service, ServerConfig(), self._read)
        self.service.zone_file = zone_file(None, self.file, self.service.reload)
        info = self.service.options.info.model_copy(update={"rules": ["waving", "there"]})
        self.service.options = replace(self.service.options, info=info)
        self.service.add_initial_streams([str(folder / "door.mp4")], realtime=True)
        self.history = self.service.told.history
        self.history.add([made_event(number) for number in range(1, 8)])
        self.history.add([made_event(8, stream_id=LONG_NAME, rule="somebody-waits-for-longer-than-a-minute-at-night")])
        self.history.add([made_event(9, start_unix=None, end_unix=None, person=None, action=None, zone=None)])
        for number in (1, 2, 4, 5, 8):
            self.record(made_event(number), has_video=number != 4)

    def _read(self) -> Any:
        config = load_config(self.file, {})
        options = event_options(config, None, None, None, None)
        return config, replace(options, record=RecordOptions(self.folder / "recordings"))

    def record(self, event: Event, *, has_video: bool = True) -> None:
        """Make the files of a recording, and tell of it."""
        recording = Recording(event.id, event.stream_id, time.time(), 1, 1, 2.0, 8.0)
        store = self.service.told.recordings
        assert store is not None
        video, picture = files_of(store.folder, recording)
        video.parent.mkdir(exist_ok=True)
        video.write_bytes((self.folder / "door.mp4").read_bytes())
        with av.open(str(video)) as container:
            frames = list(container.decode(video=0))
            frames[(13 * int(event.id, 16)) % len(frames)].to_image().save(picture, "JPEG")
        self.service._publish([recording if has_video else replace(recording, video_bytes=0)])


@pytest.fixture(scope="module")
def house(tiny: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tiny, tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def address(house: House) -> Iterator[str]:
    config = uvicorn.Config(make_app(house.service), port=0, log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    wait_for(lambda: running.started, 60)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = running.force_exit = True
    thread.join(20)
    house.service.close()


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[WebDriver]:
    with opened(address) as driver:
        driver.set_window_size(1400, 1000)
        wait_for(lambda: driver.find_element(By.ID, "open-events").is_displayed())
        yield driver


def find(browser: WebDriver, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def lines(browser: WebDriver) -> list[str]:
    script = "return [...document.querySelectorAll('.event-line')].map((line) => line.dataset.id)"
    return [str(int(name, 16)) for name in browser.execute_script(script)]


def show(browser: WebDriver, view: str) -> None:
    button = find(browser, f"#open-{view}")
    if button.get_attribute("aria-expanded") == "false":
        button.click()


def count(browser: WebDriver) -> str:
    return find(browser, "#new-events").text


def test_the_bell_counts_what_was_not_looked_at_and_the_browser_remembers_it(browser: WebDriver, house: House) -> None:
    # Whoever comes for the first time has missed nothing.
    wait_for(lambda: browser.execute_script("return localStorage.getItem('memvit.seen') !== null"))
    assert count(browser) == ""
    house.history.add([made_event(0, id=f"{0xA0 + number:016x}") for number in range(3)])
    browser.refresh()
    wait_for(lambda: count(browser) == "3")
    bell = find(browser, "#open-events")
    assert bell.get_attribute("aria-label") == "History, 3 new events"
    bell.click()
    wait_for(lambda: len(lines(browser)) >= 12)
    assert count(browser) == "" and "history" in browser.current_url
    browser.back()
    wait_for(lambda: find(browser, "#grid").is_displayed())
    browser.refresh()
    wait_for(lambda: find(browser, "#open-events").is_displayed())
    assert count(browser) == ""
    assert errors(browser) == []


def test_recordings_are_shown_and_played_in_place(browser: WebDriver, house: House, tmp_path: Path) -> None:
    show(browser, "events")
    wait_for(lambda: "1" in lines(browser))
    script = """return [...document.querySelectorAll('.event-play img')].every((one) => one.naturalWidth)"""
    wait_for(lambda: browser.execute_script(script))
    line = find(browser, f"[data-id='{2:016x}']")
    play = line.find_element(By.CSS_SELECTOR, ".event-play")
    assert (play.get_attribute("aria-label") or "").startswith("Play waving of door, ")
    assert play.text == "0:08"
    play.send_keys(Keys.ENTER)
    video = line.find_element(By.TAG_NAME, "video")
    wait_for(lambda: video.get_property("readyState") >= 2 and not video.get_property("error"))
    assert video.get_property("duration") == pytest.approx(8, abs=0.5)
    for name, seconds in (("Start", 2), ("Best moment", 7.9), ("End", 7.9)):
        (button,) = [one for one in line.find_elements(By.CSS_SELECTOR, ".event-places button") if one.text == name]
        browser.execute_script("arguments[0].pause()", video)
        button.click()
        wait_for(lambda seconds=seconds: abs(video.get_property("currentTime") - seconds) < 0.3)  # type: ignore[misc]
    picture_of(browser, tmp_path, "history_1400.png")
    with on_a_phone(browser):
        picture_of(browser, tmp_path, "history_390.png")
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert line.find_elements(By.TAG_NAME, "video") == []
    assert browser.switch_to.active_element == play
    only_a_picture = find(browser, f"[data-id='{4:016x}'] .event-play")
    only_a_picture.click()
    assert find(browser, ".event-player img").get_attribute("alt")
    # What is recorded while the list is open gets its picture.
    assert find(browser, f"[data-id='{3:016x}'] .no-thumb").is_displayed()
    house.record(made_event(3))
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, f"[data-id='{3:016x}'] .event-play"))
    assert errors(browser) == []


def test_filters_go_to_a_time_and_csv(browser: WebDriver, house: House) -> None:
    show(browser, "events")
    wait_for(lambda: "9" in lines(browser))

    def fill(name: str, value: str, form: str = "#event-filter") -> None:
        browser.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', { bubbles: true }))",
            find(browser, f"{form} [name={name}]"),
            value,
        )

    fill("person", "2")
    wait_for(lambda: lines(browser) == ["2", "6"])
    fill("action", "stand")
    wait_for(lambda: find(browser, "#events-note").text == "No event was found.")
    fill("action", "hand wave")
    wait_for(lambda: lines(browser) == ["2", "6"])
    csv = httpx.get(find(browser, "#events-csv").get_property("href")).text.splitlines()
    assert len(csv) == 3 and csv[1].startswith(f"{2:016x},waving,door,2,hand wave")
    find(browser, "#clear-filter").click()
    wait_for(lambda: "9" in lines(browser))
    # The time of the sixth event, as the browser writes it in its own zone.
    local = browser.execute_script(
        "const at = new Date(arguments[0]); at.setMinutes(at.getMinutes() - at.getTimezoneOffset());"
        "return at.toISOString().slice(0, 19)",
        1000 * (time.time() - 60 * 6 + 2),
    )
    fill("time", local, "#event-jump")
    find(browser, "#event-jump button").click()
    wait_for(lambda: lines(browser)[:2] == ["6", "7"])
    find(browser, "#newest").click()
    wait_for(lambda: "1" in lines(browser))
    assert errors(browser) == []


def test_thousands_of_events_are_loaded_as_they_are_needed(browser: WebDriver, house: House, tmp_path: Path) -> None:
    house.history.add([made_event(1000 + number) for number in range(MANY)])
    find(browser, "#open-events").click()
    show(browser, "events")
    wait_for(lambda: len(lines(browser)) >= 60)
    assert len(lines(browser)) < 500, "only what is near the screen"
    seen = len(lines(browser))
    browser.execute_script("window.scrollTo(0, document.documentElement.scrollHeight)")
    wait_for(lambda: len(lines(browser)) > seen)
    names = lines(browser)
    assert len(names) == len(set(names))
    assert errors(browser) == []


def click_at(browser: WebDriver, x: float, y: float) -> None:
    """Click at a place of the board, in 0..1."""
    board = find(browser, "#board")
    size = board.size
    actions = ActionChains(browser, duration=20)
    actions.move_to_element_with_offset(
        board, round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"])
    ).click().perform()


def test_a_zone_is_drawn_changed_and_deleted(browser: WebDriver, house: House, address: str, tmp_path: Path) -> None:
    with httpx.Client(base_url=address) as client:
        show(browser, "zones")
        wait_for(lambda: find(browser, "#board-picture").get_attribute("class") == "board-picture is-there")
        assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".zone-name")] == ["entrance"]
        assert len(browser.find_elements(By.CSS_SELECTOR, "#board-shapes .other")) == 1
        find(browser, "#new-zone").click()
        find(browser, "#zone-form [name=name]").send_keys("left half")
        for x, y in ((0.05, 0.05), (0.5, 0.05), (0.5, 0.9), (0.05, 0.9)):
            click_at(browser, x, y)
        picture_of(browser, tmp_path, "zones_1400.png")
        with on_a_phone(browser):
            picture_of(browser, tmp_path, "zones_390.png")
        find(browser, ".corner.first").click()
        assert len(browser.find_elements(By.CSS_SELECTOR, ".middle")) == 4
        find(browser, "#zone-form button.main").click()
        wait_for(lambda: find(browser, "#zones-note").text == "left half is saved. No rule names it yet.")
        zone = client.get("/api/zones/left half").json()
        assert zone["streams"] == ["door"] and zone["on_streams"] == ["door"]
        assert zone["polygon"][1] == pytest.approx([0.5, 0.05], abs=0.01)

        # Another corner by mouse, and one moved and one removed by keyboard.
        find(browser, "[data-zone='left half'] button").click()
        first = browser.switch_to.active_element
        assert (first.get_attribute("aria-label") or "").startswith("Corner 1 of 4: 5 % from the left")
        first.send_keys(Keys.ARROW_RIGHT, Keys.SHIFT + Keys.ARROW_RIGHT)
        first.send_keys(Keys.NULL)
        ActionChains(browser, duration=20).drag_and_drop_by_offset(find(browser, "[data-middle='1']"), 60, 0).perform()
        assert len(browser.find_elements(By.CSS_SELECTOR, ".corner")) == 5
        find(browser, "[data-corner='4']").send_keys(Keys.DELETE)
        streams = find(browser, "#zone-form [name=streams]")
        streams.clear()
        streams.send_keys("do*, yard" + Keys.ENTER)
        wait_for(lambda: "is saved" in find(browser, "#zones-note").text)
        zone = client.get("/api/zones/left half").json()
        assert zone["streams"] == ["do*", "yard"] and len(zone["polygon"]) == 4
        assert zone["polygon"][0] == pytest.approx([0.16, 0.05], abs=0.011)
        assert zone["polygon"][2][0] > 0.51, "the new corner was dragged to the right"

        find(browser, "[data-zone='entrance'] button").click()
        delete = find(browser, "#delete-zone")
        delete.click()
        assert delete.text == "Really delete?"
        delete.click()
        problem = find(browser, "#zone-problem")
        wait_for(lambda: problem.text == "the rules waving, there need zone entrance; take it out there first")
        ActionChains(browser).send_keys(Keys.ESCAPE).perform()
        find(browser, "#cancel-zone").click()
        find(browser, "[data-zone='left half'] button").click()
        delete.click()
        delete.click()
        wait_for(lambda: find(browser, "#zones-note").text == "left half is deleted.")
    assert house.file.read_text() == CONFIG
    refusals = errors(browser)
    assert len(refusals) == 1 and "409" in refusals[0]


def test_events_follow_a_zone_that_is_changed_on_the_page(
    browser: WebDriver, house: House, address: str, tmp_path: Path
) -> None:
    """The only box is the whole frame: its foot point is the middle of the lower edge, below the zone at first."""
    with httpx.Client(base_url=address) as client:

        def events() -> list[Any]:
            found: list[Any] = client.get("/api/history", params={"rule": "there"}).json()["events"]
            return found

        assert events() == []
        memory = state_of(client, "door")["memory_reach_seconds"]
        show(browser, "zones")
        find(browser, "[data-zone='entrance'] button").click()
        for corner in (2, 3):
            find(browser, f"[data-corner='{corner}']").send_keys(Keys.SHIFT + Keys.ARROW_DOWN)
        find(browser, "#zone-form button.main").click()
        wait_for(lambda: "It counts for waving, there" in find(browser, "#zones-note").text)
        wait_for(lambda: bool(events()))
        now = state_of(client, "door")
        assert now["session"] == 0 and now["memory_reach_seconds"] >= memory > 0
        find(browser, "#open-zones").click()
        script = "return document.querySelector('[data-stream=door] .zone-label')?.textContent"
        wait_for(lambda: browser.execute_script(script) == "entrance")
        wait_for(lambda: find(browser, "[data-stream=door] .picture").is_displayed())
        picture_of(browser, tmp_path, "live_zones.png")
    assert "[0.9, 1]" in house.file.read_text() and "# the steps" in house.file.read_text()
    assert errors(browser) == []


def test_the_page_is_light_where_that_is_wanted(browser: WebDriver, tmp_path: Path) -> None:
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)  # type: ignore[attr-defined]
    for view in ("events", "zones"):
        show(browser, view)
        wait_for(lambda view=view: find(browser, f"#{view}").is_displayed())  # type: ignore[misc]
        colours = browser.execute_script(
            "const of = (one) => getComputedStyle(one); return [of(document.body).backgroundColor, "
            "of(document.querySelector('h1')).color]"
        )
        assert colours == ["rgb(238, 241, 245)", "rgb(22, 25, 31)"]
        picture_of(browser, tmp_path, f"light_{view}.png")
    find(browser, "#open-zones").click()
    picture_of(browser, tmp_path, "light_live.png")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})  # type: ignore[attr-defined]
