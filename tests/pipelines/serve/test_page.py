"""The server's page in a real browser: streams appear, pictures and results arrive, streams come and go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest

import memvit
from memvit.datasets.long_cue import Scene, write_video
from memvit.engine.settings import model_identity, open_engine
from memvit.results.colours import GROUND, PEOPLE, person_colour, score_colour, to_hex
from memvit.teaching import Head, save_head
from tests.pipelines.serve.browsing import errors, needs_browser, on_a_phone, opened, picture_of, wait_for
from tests.processes import START_SECONDS, Command

pytest.importorskip("selenium", reason="the page is tested with selenium")
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

pytestmark = needs_browser
ADDRESS = re.compile(r"memvit serves at (http://[\d.]+:\d+)")
MOST_PICTURES = 4
MODEL = "memvit_tiny_8x4"
TAUGHT = "opens fridge"
RULES = f"rules: [{{name: there, actions: [{TAUGHT}], start_score: 0.8}}, {{name: never, dwell_seconds: 9999}}]"

CARDS = """return [...document.querySelectorAll('.card')].map((card) => ({
    id: card.dataset.stream, state: card.dataset.state, results: Number(card.dataset.results),
    width: card.querySelector('.picture').naturalWidth, is_open: card.querySelector('.picture').hasAttribute('src'),
}))"""
DRAWN = """const canvas = document.querySelector('.timeline');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set(new Uint32Array(data.buffer));
    return [canvas.width, canvas.height, colours.size]"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos that the server offers, one of them damaged."""
    folder = tmp_path_factory.mktemp("offered")
    for seed, name in enumerate(("entrance", "yard")):
        write_video(Scene(seed=seed, seconds=6, width=192, height=108, frames_per_second=10), folder / f"{name}.mp4")
    (folder / "rules.yaml").write_text(RULES)
    engine, _ = open_engine(MODEL, None, random_weights=True, device="cpu")
    width = engine.model.head.projection.in_features
    weight = 4 / width * np.random.default_rng(0).standard_normal(width).astype(np.float32)
    save_head(folder / "head.safetensors", Head(TAUGHT, "people", model_identity(engine, MODEL), weight, 3.75))
    (folder / "broken.mp4").write_bytes((folder / "yard.mp4").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def server(videos: Path) -> Iterator[tuple[Command, str]]:
    """A server in a process of its own, and its address."""
    words = ("serve", videos / "entrance.mp4", "--realtime", "--model", MODEL, "--random-weights",
             "--boxes", "full", "--device", "cpu", "--port", 0, "--allow-folder", videos,
             "--rules", videos / "rules.yaml", "--head", videos / "head.safetensors")  # fmt: skip
    command = Command(words)
    try:
        wait_for(lambda: not command.is_running or ADDRESS.search(command.output.read_text()), START_SECONDS)
        found = ADDRESS.search(command.output.read_text())
        assert found, command.output.read_text()
        wait_for(lambda: is_ready(found[1]))
        yield command, found[1]
    finally:
        command.kill()


@pytest.fixture(scope="module")
def browser(server: tuple[object, str]) -> Iterator[WebDriver]:
    with opened(server[1]) as driver:
        yield driver


def is_ready(address: str) -> bool:
    try:
        with urlopen(f"{address}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def post(address: str, **stream: object) -> None:
    headers = {"Content-Type": "application/json"}
    urlopen(Request(f"{address}/api/streams", json.dumps(stream).encode(), headers), timeout=20).close()


def cards(browser: WebDriver) -> dict[str, dict[str, Any]]:
    return {card["id"]: card for card in browser.execute_script(CARDS)}


def submit(browser: WebDriver, **fields: str) -> None:
    open_form(browser)
    for name, text in fields.items():
        field = browser.find_element(By.NAME, name)
        field.clear()
        field.send_keys(text)
    browser.find_element(By.CSS_SELECTOR, "#add button").click()


def open_form(browser: WebDriver) -> None:
    if not browser.find_element(By.ID, "add").is_displayed():
        browser.find_element(By.ID, "open-add").click()


def test_a_stream_is_live_with_pictures_results_and_a_timeline(browser: WebDriver, tmp_path: Path) -> None:
    wait_for(lambda: cards(browser).get("entrance", {}).get("state") == "live")
    wait_for(lambda: cards(browser)["entrance"]["width"] > 0)
    seen = cards(browser)["entrance"]["results"]
    wait_for(lambda: cards(browser)["entrance"]["results"] >= max(seen + 2, 3))
    width, height, colours = browser.execute_script(DRAWN)
    assert width > 300 and height > 40 and colours > 10
    assert browser.find_element(By.ID, "model").text == "memvit_tiny_8x4"
    wait_for(lambda: browser.find_element(By.CSS_SELECTOR, ".p50").text.endswith("s"))
    for size in ((1600, 1000), (500, 900)):
        browser.set_window_size(*size)
        inner, outer = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert inner <= outer
        picture_of(browser, tmp_path, f"page_{size[0]}.png")
    browser.set_window_size(1600, 1900)
    assert errors(browser) == []


def test_details_are_folded_and_actions_below_the_threshold_are_not_shown(browser: WebDriver) -> None:
    assert not browser.find_element(By.CSS_SELECTOR, ".remove").is_displayed()
    assert browser.find_element(By.CSS_SELECTOR, ".p50").is_displayed()
    assert browser.find_element(By.ID, "min-score").text == "score 0.3"
    scores = browser.execute_script("return [...document.querySelectorAll('.action b')].map((b) => +b.textContent)")
    assert scores and min(scores) >= 0.3
    colours, person = browser.execute_script("""return [
        ['--people', '--scores'].map((name) => getComputedStyle(document.documentElement).getPropertyValue(name)),
        getComputedStyle(document.querySelector('.chip')).backgroundColor]""")
    assert colours[0].split() == [to_hex(colour) for colour in PEOPLE]
    assert colours[1].split()[0] == to_hex(GROUND) and colours[1].split()[-1] == to_hex(score_colour(1))
    assert person == f"rgb{person_colour(1)}", "the whole frame is person 1, as in the pictures"


def event_lines(browser: WebDriver) -> list[str]:
    # In one go: a line is replaced with every event.
    script = "return [...document.querySelectorAll('.event-line')].map((line) => line.innerText.trim())"
    return list(browser.execute_script(script))


def test_events_are_counted_listed_and_filtered(browser: WebDriver, tmp_path: Path) -> None:
    button, count = browser.find_element(By.ID, "open-events"), browser.find_element(By.ID, "new-events")
    wait_for(lambda: button.is_displayed())
    assert browser.find_element(By.ID, "events").is_displayed() is False
    button.click()
    wait_for(lambda: any(event_lines(browser)))
    assert not count.is_displayed(), "what is looked at is not new"
    (line,) = event_lines(browser)
    assert "there" in line and "entrance" in line and line.endswith("now")
    seen = line
    wait_for(lambda: event_lines(browser)[0] != seen)  # it lasts longer with every clip
    browser.execute_script("""const rule = document.querySelector('#event-filter [name=rule]');
        rule.value = 'never'; rule.dispatchEvent(new Event('change', { bubbles: true }));""")
    wait_for(lambda: browser.find_element(By.ID, "events-note").text == "No event was found.")
    assert event_lines(browser) == []
    assert "rule=never" in (browser.find_element(By.ID, "events-csv").get_attribute("href") or "")
    browser.execute_script("""const rule = document.querySelector('#event-filter [name=rule]');
        rule.value = ''; rule.dispatchEvent(new Event('change', { bubbles: true }));""")
    wait_for(lambda: event_lines(browser))
    for size in ((1400, 900), (500, 900)):
        browser.set_window_size(*size)
        inner, outer = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert inner <= outer
        picture_of(browser, tmp_path, f"events_{size[0]}.png")
    browser.set_window_size(1600, 1900)
    with on_a_phone(browser):
        picture_of(browser, tmp_path, "events_390.png")
    button.click()
    assert not browser.find_element(By.ID, "events").is_displayed() and errors(browser) == []


def test_a_taught_action_is_one_more_action(browser: WebDriver, server: tuple[object, str], videos: Path) -> None:
    """In the list of each person, among the actions of the filter, in events; with the scores that `watch` has."""
    names, offered = browser.execute_script("""return ['.action-name', '#actions option'].map((selector) =>
        [...document.querySelectorAll(selector)].map((one) => one.value ?? one.textContent))""")
    assert TAUGHT in names and offered[-1] == TAUGHT and len(offered) == 81
    with urlopen(f"{server[1]}/api/history?rule=there&stream=entrance", timeout=20) as answer:
        assert {event["action"] for event in json.load(answer)["events"]} == {TAUGHT}
    post(server[1], source=str(videos / "yard.mp4"), id="again")
    told = {}
    with urlopen(f"{server[1]}/api/streams/again/events", timeout=20) as answer:
        for line in answer:
            kind, _, data = line.decode().strip().partition(": ")
            if kind == "data" and "people" in (found := json.loads(data)):
                told[found["seconds"]] = {one["name"]: one["score"] for one in found["people"][0]["actions"]}
            if (kind, data) == ("event", "ended"):
                break
    urlopen(Request(f"{server[1]}/api/streams/again", method="DELETE"), timeout=20).close()
    more: Any = {"random_weights": True, "boxes": "full", "heads": [videos / "head.safetensors"], "device": "cpu"}
    expected = {one.centre_seconds: dict(one.actions()[0]) for one in memvit.watch(videos / "yard.mp4", MODEL, **more)}
    assert told == expected and len({scores[TAUGHT] for scores in told.values()}) > 3
    wait_for(lambda: list(cards(browser)) == ["entrance"])


def test_a_clip_can_be_pointed_at_with_the_keyboard(browser: WebDriver) -> None:
    timeline = browser.find_element(By.CSS_SELECTOR, ".timeline")
    timeline.send_keys("\ue011")  # Home
    assert browser.find_element(By.CSS_SELECTOR, ".when").text.startswith("At 0:00 · clip 0")
    assert "person 1" in (timeline.get_attribute("aria-valuetext") or "")
    timeline.send_keys("\ue00c")  # Escape
    assert browser.find_element(By.CSS_SELECTOR, ".when").text.startswith("Now ")


def test_streams_come_and_go(browser: WebDriver, videos: Path) -> None:
    submit(browser, source=str(videos / "yard.mp4"), id="<b>yard</b>")
    problem = browser.find_element(By.ID, "problem")
    wait_for(lambda: problem.text)
    assert problem.text.startswith("id: ") and "yard" not in cards(browser)
    submit(browser, source="/etc/hostname", id="yard")
    wait_for(lambda: "not in a folder that the server offers" in problem.text)
    refusals = errors(browser)
    assert len(refusals) == 2 and all("/api/streams" in refusal for refusal in refusals)
    open_form(browser)
    browser.find_element(By.NAME, "realtime").click()
    submit(browser, source=str(videos / "yard.mp4"), id="yard")
    wait_for(lambda: cards(browser).get("yard", {}).get("state") == "live" and cards(browser)["yard"]["width"])
    assert problem.text == "" and not browser.find_element(By.ID, "add").is_displayed()
    lines = browser.find_elements(By.CSS_SELECTOR, ".now-line")
    assert [line.get_attribute("data-stream") for line in lines] == ["entrance", "yard"]
    wait_for(lambda: all(re.search(r"1 \S.* 0\.\d\d", line.text.replace("\n", " ")) for line in lines))
    assert browser.find_element(By.ID, "now").rect["y"] < browser.find_element(By.ID, "grid").rect["y"]
    browser.find_element(By.CSS_SELECTOR, "[data-stream=yard] summary").click()
    remove = browser.find_element(By.CSS_SELECTOR, "[data-stream=yard] .remove")
    remove.click()
    assert "yard" in cards(browser) and remove.text == "Really remove?"
    remove.click()
    wait_for(lambda: list(cards(browser)) == ["entrance"])
    assert errors(browser) == []


def test_on_a_phone_the_first_stream_is_on_the_first_screen(
    browser: WebDriver, server: tuple[object, str], videos: Path, tmp_path: Path
) -> None:
    for number in range(3):
        post(server[1], source=str(videos / "yard.mp4"), id=f"phone{number}", realtime=True)
    with on_a_phone(browser):
        wait_for(lambda: len(cards(browser)) == 4 and cards(browser)["entrance"]["width"])
        wait_for(lambda: browser.find_element(By.CSS_SELECTOR, ".picture").is_displayed())
        picture_of(browser, tmp_path, "page_390.png")
        card, picture = (browser.find_element(By.CSS_SELECTOR, name).rect for name in (".card", ".picture"))
        assert picture["y"] + picture["height"] < 844 and picture["width"] > 360
        assert card["height"] < 844, "a card is not higher than a screen"
    for number in range(3):
        urlopen(Request(f"{server[1]}/api/streams/phone{number}", method="DELETE"), timeout=20).close()
    wait_for(lambda: list(cards(browser)) == ["entrance"])
    # A stream may be removed just when the page asks for its pictures.
    assert all(re.search(r"/phone\d/video.*404", error) for error in errors(browser))


STILL = """const still = document.querySelector('[data-stream=over] .still');
    if (!still || still.hidden || !still.width) return 0;
    const { data } = still.getContext('2d').getImageData(0, 0, still.width, still.height);
    return new Set(new Uint32Array(data.buffer)).size"""


def test_the_last_picture_of_an_ended_stream_stays(
    browser: WebDriver, server: tuple[object, str], videos: Path
) -> None:
    """Also on a page that is opened later, when nobody has looked at the stream before."""
    post(server[1], source=str(videos / "yard.mp4"), id="over")
    wait_for(lambda: cards(browser).get("over", {}).get("state") == "ended")
    wait_for(lambda: browser.execute_script(STILL) > 100)
    browser.refresh()
    wait_for(lambda: browser.execute_script(STILL) > 100)
    with urlopen(f"{server[1]}/api/streams/over/picture", timeout=20) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg" and answer.read(2) == b"\xff\xd8"
    urlopen(Request(f"{server[1]}/api/streams/over", method="DELETE"), timeout=20).close()
    wait_for(lambda: list(cards(browser)) == ["entrance"])
    assert errors(browser) == []


def test_streams_of_others_appear_and_few_pictures_are_open_at_once(
    browser: WebDriver, server: tuple[object, str], videos: Path
) -> None:
    assert browser.find_element(By.CSS_SELECTOR, "[data-stream=entrance] .name").text == "entrance"
    for number in range(5):
        post(server[1], source=str(videos / "yard.mp4"), id=f"yard{number}", realtime=True)
    post(server[1], source=str(videos / "broken.mp4"), id="broken")
    wait_for(lambda: len(cards(browser)) == 7 and cards(browser)["broken"]["state"] == "failed")
    assert "there is no video in it" in browser.find_element(By.CSS_SELECTOR, "[data-stream=broken] .note").text

    assert browser.find_element(By.CSS_SELECTOR, "[data-stream=yard0] .name").text == "yard (yard0)"

    def are_open() -> list[str]:
        return [card["id"] for card in cards(browser).values() if card["is_open"]]

    wait_for(lambda: len(are_open()) == MOST_PICTURES)
    assert "yard4" not in are_open()
    browser.find_element(By.CSS_SELECTOR, "[data-stream=yard4] .show").click()
    wait_for(lambda: "yard4" in are_open())
    assert len(are_open()) == MOST_PICTURES
    wait_for(lambda: cards(browser)["yard4"]["width"])
    assert errors(browser) == []


def test_the_documentation_is_drawn_under_its_policy(browser: WebDriver, server: tuple[object, str]) -> None:
    page = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(f"{server[1]}/docs")
    wait_for(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".opblock")) > 8)
    for words in (".opblock-summary", ".try-out__btn", ".execute"):
        wait_for(lambda words=words: browser.find_elements(By.CSS_SELECTOR, words))  # type: ignore[misc]
        browser.find_element(By.CSS_SELECTOR, words).click()
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, ".live-responses-table"))
    assert errors(browser) == []
    browser.close()
    browser.switch_to.window(page)


def test_it_says_so_when_the_server_is_away(browser: WebDriver, server: tuple[Command, str]) -> None:
    server[0].kill()
    away = browser.find_element(By.ID, "away")
    wait_for(lambda: "does not answer" in away.text)
    assert not any(card["is_open"] for card in cards(browser).values())
