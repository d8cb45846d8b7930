"""The routes of the archive's page: what they give, and what they refuse."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pytest
from PIL import Image
from torch import nn

import memvit.store
from memvit.store import Archive, fingerprint
from tests.store.test_store import MADE_WITH

pytest.importorskip("fastapi", reason="memvit browse needs the serve extra")
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from memvit.store.index import update_index
from memvit.store.provenance import identity_of
from memvit.teaching import Head, HeadError, save_head
from memvit.types import MemvitError
from pipelines.browse.app import make_guarded_app
from pipelines.browse.film_file import FilmFiles, FilmMissing
from pipelines.browse.library import BrowseOptions, FilmLibrary
from pipelines.browse.pictures import SIZES, PictureMaker, TooManyDecoders
from pipelines.browse.search import search_actions
from pipelines.serve.app import make_app as make_live_app
from pipelines.serve.server_config import parse_config
from pipelines.teach import run_teach
from tests.pipelines.serve.serving import make_service

from .stores import CLASSES, HOSTILE, SECONDS, add_film, rows


def client_of(store: Path, labels: Path | None = None, token: str | None = None) -> TestClient:
    library = FilmLibrary(BrowseOptions(str(store), labels))
    return TestClient(make_guarded_app(library, token=token), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def client(store: Path) -> TestClient:
    return client_of(store)


def test_films_are_listed_page_by_page(client: TestClient) -> None:
    info = client.get("/api/info").json()
    assert info["films"] == 5 and info["actions"] == list(CLASSES) and info["has_people"] and info["labels"] is None
    page = client.get("/api/films", params={"limit": 2, "offset": 1}).json()
    assert [film["id"] for film in page["films"]] == ["b-2", "gone-3"] and page["count"] == 5
    assert page["films"][0]["name"] == HOSTILE and page["films"][0]["missing"] is None
    assert "moved or deleted" in page["films"][1]["missing"]
    found = client.get("/api/films", params={"text": "A-1"}).json()
    assert [film["id"] for film in found["films"]] == ["a-1"] and found["count"] == 1
    states = {state: client.get("/api/films", params={"state": state}).json()["count"] for state in ("done", "failed")}
    assert states == {"done": 3, "failed": 1}
    (late,) = client.get("/api/films", params={"state": "unfinished"}).json()["films"]
    assert late["id"] == "late-4" and late["clips"] == 3


def test_a_strip_tells_which_action_is_when(client: TestClient) -> None:
    strip = client.get("/api/films/a-1/strip").json()
    assert [row["action"] for row in strip["rows"]] == ["stand", "wave"]
    assert strip["start_seconds"] == -0.5 and strip["part_seconds"] == 1.0
    (wave,) = client.get("/api/films/a-1/strip", params={"action": "wave", "parts": 4}).json()["rows"]
    assert [score > 50 for score in wave["scores"]] == [False, True, True, False]
    assert client.get("/api/films/gone-3/strip").status_code == 200, "a film that is gone still has its actions"
    assert "unfinished" in client.get("/api/films/late-4/strip").json()["detail"]
    assert "no action" in client.get("/api/films/a-1/strip", params={"action": "fly"}).json()["detail"]


def test_a_moment_tells_who_does_what(client: TestClient) -> None:
    moment = client.get("/api/films/a-1/moment", params={"seconds": 3.2}).json()
    assert moment["seconds"] == 3 and [one["person"] for one in moment["people"]] == [1, 2]
    assert moment["people"][0]["actions"][0]["action"] == "wave" and moment["people"][1]["box"][0] == 0.55
    assert "no clip" in client.get("/api/films/a-1/moment", params={"seconds": 99}).json()["detail"]


def test_search_gives_the_best_intervals(client: TestClient) -> None:
    found = client.get("/api/find", params={"action": "wave", "limit": 2}).json()
    assert [one["video"] for one in found["results"]] == ["gone-3", "b-2"]
    assert found["found"] == 3 and found["searched"] == 5 and found["cursor"] is None
    assert (found["results"][0]["start_seconds"], found["results"][0]["end_seconds"]) == (2, 4)
    assert client.get("/api/find", params={"action": "wave", "min_seconds": 3}).json()["results"] == []
    assert client.get("/api/find", params={"action": "wave", "person": 2}).json()["results"] == []
    one = client.get("/api/find", params={"action": ["wave", "sit"], "text": "a-1"}).json()
    assert [result["video"] for result in one["results"]] == ["a-1"]
    for wrong in ({}, {"action": "fly"}, {"taught": "opens fridge"}):
        answer = client.get("/api/find", params=wrong)
        assert answer.status_code == 400 and answer.json()["detail"], wrong


def test_a_search_in_pieces_finds_what_one_search_finds(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = memvit.store.open(str(store))
    monkeypatch.setattr("pipelines.browse.search.PIECE_SECONDS", -1)
    monkeypatch.setattr("pipelines.browse.search.FIRST_SECONDS", -1)
    monkeypatch.setattr("pipelines.browse.search.FIRST_FILMS", 2)
    query, found, cursor, searched = memvit.store.Query(("wave",)), [], None, 0
    for _ in range(3):
        piece = search_actions(archive, archive.video_ids(), query, cursor, 10)
        found, cursor, searched = found + piece.results, piece.cursor, searched + piece.searched
    assert cursor is None and searched == 5
    whole = [interval.to_record() for interval in archive.find("wave")]
    assert sorted(found, key=lambda one: one["video"]) == whole and len(whole) == 3


@pytest.mark.parametrize("people", [False, True])
def test_more_like_this(client: TestClient, store: Path, people: bool) -> None:
    asked = {"film": "a-1", "seconds": 3, "people": people, "limit": 3} | ({"person": 1} if people else {})
    best = client.get("/api/similar", params=asked).json()["results"]
    expected = memvit.store.open(str(store)).similar("a-1@3", people=people, person=asked.get("person"))
    assert [(one["video"], one["seconds"]) for one in best] == [(one.video, one.seconds) for one in expected[:3]]
    assert [one["person"] for one in best] == [one.person for one in expected[:3]]


def test_the_index_chooses_what_is_read(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="an index needs the index extra")
    monkeypatch.setattr("memvit.store.indexed.FEWEST_VIDEOS", 1)
    monkeypatch.setattr("memvit.store.indexed.VIDEOS_PER_ANSWER", 1)
    monkeypatch.setattr("pipelines.browse.search.PIECE_SECONDS", -1)
    monkeypatch.setattr("pipelines.browse.search.FIRST_SECONDS", -1)
    monkeypatch.setattr("pipelines.browse.search.FIRST_FILMS", 1)
    copied = tmp_path / "a.zarr"
    shutil.copytree(store, copied)
    archive = Archive.open(str(copied), writable=True)
    update_index(archive, "clips")
    asked = {"film": "a-1", "seconds": 3, "limit": 2}
    with client_of(copied) as client:
        pieces = [client.get("/api/similar", params=asked).json()]
        while pieces[-1]["cursor"] is not None:
            pieces.append(client.get("/api/similar", params=asked | {"after": pieces[-1]["cursor"]}).json())
        assert {(one["by_index"], one["films"], one["searched"]) for one in pieces} == {(True, 2, 1)}
        found = sorted((one for piece in pieces for one in piece["results"]), key=lambda one: -one["similarity"])
        expected = [one.to_record(people=True) for one in memvit.store.open(str(copied)).similar("a-1@3", top=2)]
        assert found[:2] == expected
        for more in ({"exact": True}, {"text": "b-2"}, {"people": True, "person": 1}):
            other = client.get("/api/similar", params=asked | more).json()
            assert not other["by_index"] and not other["note"], "named films, and what has no index, are searched all"
            assert other["films"] == (1 if "text" in more else 5)
        archive.forget("b-2")
        assert "memvit index" in client.get("/api/similar", params=asked).json()["note"]
        for file in (copied / "index" / "clips").glob("*.faiss"):
            file.write_bytes(b"")
        damaged = client.get("/api/similar", params=asked).json()
        assert not damaged["by_index"] and "index is damaged" in damaged["note"] and damaged["results"]


def test_pictures_are_frames_beside_each_other(client: TestClient) -> None:
    answer = client.get("/api/films/a-1/pictures", params={"start": 1.0})
    assert answer.headers["content-type"] == "image/jpeg"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (8 * 192, 108)
    pixels = np.asarray(picture, dtype=np.float64)
    assert np.abs(pixels[:, :192] - pixels[:, -192:]).mean() > 1, "something has moved"
    end = client.get("/api/films/a-1/pictures", params={"start": SECONDS - 0.2, "size": "small"})
    assert end.status_code == 200, "the last frame is repeated"
    gone = client.get("/api/films/gone-3/pictures", params={"start": 1})
    assert gone.status_code == 404 and "moved or deleted" in gone.json()["detail"]


def test_pictures_are_kept_and_decoders_are_few(store: Path) -> None:
    state = memvit.store.open(str(store)).video("a-1")
    assert state is not None
    maker = PictureMaker(FilmFiles(), decoders=1, waiting=0, cache_bytes=10_000)
    first = maker.picture(state, 1, SIZES["thumb"])
    maker._places.acquire()
    assert maker.picture(state, 1, SIZES["thumb"]) is first
    with pytest.raises(TooManyDecoders):
        maker.picture(state, 2, SIZES["thumb"])
    maker._places.release()
    for second in range(6):
        maker.picture(state, second, SIZES["thumb"])
    assert maker._bytes <= 10_000 and maker._bytes == sum(map(len, maker._cache.values()))


def test_films_are_sent_in_ranges(client: TestClient, store: Path) -> None:
    content = (store.parent / "films/a.mp4").read_bytes()
    whole = client.get("/api/films/a-1/video")
    assert whole.content == content and whole.headers["content-type"] == "video/mp4"
    part = client.get("/api/films/a-1/video", headers={"Range": "bytes=10-99"})
    assert part.status_code == 206 and part.content == content[10:100]
    assert client.get("/api/films/a-1/video", headers={"Range": "bytes=99999999-"}).status_code == 416
    assert client.head("/api/films/a-1/video").headers["content-length"] == str(len(content))
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        client.head("/api/films/a-1/video")
    assert len(list(Path("/dev/fd").iterdir())) == before, "every file is closed"
    for film in ("gone-3", "late-4", "none"):
        assert client.get(f"/api/films/{film}/video").status_code == 404


ESCAPES = (
    "../a.zarr", "..", ".", "", "/etc/passwd", "a-1/../../films/a.mp4", "..%2f..%2fetc%2fpasswd", "%2e%2e",
    "a-1/seconds", "a-1%00", "%00", "\\..\\..\\etc\\passwd", "..\\a.zarr", "a-1\\..", "~", "%c0%ae%c0%ae/", "file:///etc/passwd",
    "/proc/self/environ", "//etc/passwd", "C:\\x", "a-1%0d%0aX: y", "x" * 5000,
    "....//", "%252e%252e%252f", "videos/a-1", "zarr.json", "..;/a-1",
)  # fmt: skip


ROUTES = (
    "/api/films/{}/video", "/api/films/{}/pictures?start=1", "/api/films/{}/strip", "/api/films/{}/moment?seconds=1",
    "/api/films/{}", "/api/similar?film={}&seconds=1", "/page/{}",
)  # fmt: skip


def sent(app: ASGIApp, target: str) -> tuple[int, bytes]:
    """What a server gives to the application for a request line, and what comes back. Clients would tidy the path."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    asyncio.run(app(scope, receive, send))
    return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


@pytest.mark.parametrize("route", ROUTES)
def test_no_path_leads_out_of_the_archive(store: Path, route: str) -> None:
    app = make_guarded_app(FilmLibrary(BrowseOptions(str(store))))
    for escape in ESCAPES:
        for name in {escape, quote(escape, safe=""), quote(quote(escape, safe=""), safe="")}:
            if name.startswith("a-1/") and "similar" not in route:
                continue  # the film itself, with a longer path after it
            status, content = sent(app, route.format(name))
            assert status in (404, 400, 422, 307) or b'"films":' in content, (name, content[:99])
            assert b"root:" not in content and b"ftyp" not in content[:64] and b"zarr_format" not in content


def test_links_in_the_store_lead_nowhere(store: Path, tmp_path: Path) -> None:
    copied, outside = tmp_path / "a.zarr", tmp_path / "outside"
    shutil.copytree(store, copied)
    outside.mkdir()
    (outside / "secret.txt").write_text("root: the secret")
    (outside / "zarr.json").write_text('{"attributes": {"location": "secret.txt", "root": "root: the secret"}}')
    videos = copied / "videos"
    (videos / "folder").symlink_to(outside)
    (videos / "file").symlink_to(outside / "secret.txt")
    (videos / "circle").symlink_to(videos)
    for chunk in (videos / "b-2" / "action_scores" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
            chunk.symlink_to(outside / "secret.txt")
    app = make_guarded_app(FilmLibrary(BrowseOptions(str(copied))))
    for film in ("folder", "file", "circle"):
        for route in ROUTES[:6]:
            status, content = sent(app, route.format(film))
            assert b"secret" not in content, (film, route)
            is_told = b'"state":"damaged"' in content or b'"state":"unfinished"' in content
            assert status in (400, 404) or is_told, (film, route, content)
    status, content = sent(app, "/api/films/b-2/strip")
    assert status == 400 and b"is damaged" in content
    assert sent(app, "/api/films")[0] == 200
    found = json.loads(sent(app, "/api/find?action=wave")[1])
    assert "b-2" in found["damaged"] and {one["video"] for one in found["results"]} == {"a-1", "gone-3"}


def test_another_file_in_the_place_of_a_film_is_not_opened(tmp_path: Path, store: Path) -> None:
    secret, film = tmp_path / "secret.txt", tmp_path / "film.mp4"
    secret.write_text("the secret")
    shutil.copy(store.parent / "films/a.mp4", film)
    archive = Archive.create(str(tmp_path / "s.zarr"), MADE_WITH)
    add_film(archive, "film", film, rows(1))
    with client_of(tmp_path / "s.zarr") as client:
        assert client.get("/api/films/film/video").status_code == 200
        for replacement in ("link", "changed", "same size", "pipe", "folder", "folder of links"):
            film.unlink()
            if replacement == "link":
                film.symlink_to(secret)
            elif replacement == "pipe":
                os.mkfifo(film)
            elif replacement == "changed":
                film.write_bytes(secret.read_bytes())
            elif replacement == "same size":
                film.write_bytes(b"x" * (store.parent / "films/a.mp4").stat().st_size)
            else:
                film.mkdir()
                if replacement == "folder of links":
                    (film / "00001.jpg").symlink_to(secret)
            for route in ("video", "pictures?start=0"):
                answer = client.get(f"/api/films/film/{route}")
                assert answer.status_code == 404 and b"secret" not in answer.content, replacement
            assert client.get("/api/films/film").json()["missing"]
            if film.is_dir():
                shutil.rmtree(film)
                film.touch()


def test_a_file_that_is_replaced_after_the_check_is_not_read(tmp_path: Path, store: Path) -> None:
    film = tmp_path / "film.mp4"
    shutil.copy(store.parent / "films/a.mp4", film)
    state = memvit.store.VideoState("film", str(film), "done", fingerprint=fingerprint(str(film)))
    with FilmFiles().opened(state) as opened:
        content = film.read_bytes()
        film.unlink()
        film.write_bytes(b"something else")
        assert Path(opened.path).read_bytes() == content
    with pytest.raises(FilmMissing):
        FilmFiles().open(state)


def test_labels_are_written_at_once_and_keep_what_others_write(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("video,seconds,person,label\na-1,1.000,,1\nb-2,4.000,2,\n")
    with client_of(store, path) as client:
        label = {"video": "a-1", "seconds": 3, "person": 1, "label": True}
        assert client.put("/api/labels", json=label).status_code == 204
        assert client.put("/api/labels", json=label | {"person": None, "label": False}).status_code == 204
        assert path.read_text().splitlines()[1:] == ["a-1,1.000,,1", "b-2,4.000,2,", "a-1,3.000,1,1", "a-1,3.000,,0"]
        path.write_text(path.read_text() + "a-1,7.000,,1\n")
        assert client.put("/api/labels", json=label | {"label": None}).status_code == 204
        assert client.put("/api/labels", json={"video": "b-2", "seconds": 4, "person": 2, "label": False}).is_success
        found = list(csv.reader(io.StringIO(client.get("/api/labels.csv").text)))
        assert found[1:] == [["a-1", "1.000", "", "1"], ["b-2", "4.000", "2", "0"], ["a-1", "3.000", "", "0"],
                             ["a-1", "7.000", "", "1"]]  # fmt: skip
        assert client.get("/api/labels").json()["labels"][0] == {
            "video": "a-1", "seconds": 1, "person": None, "label": True,
        }  # fmt: skip
        assert client.put("/api/labels", json=label | {"video": "../x"}).status_code == 404
        assert client.put("/api/labels", json=label | {"seconds": "many"}).status_code == 422
        assert list(tmp_path.iterdir()) == [path], "no file is left behind"
    path.write_text("something,else\n")
    with pytest.raises(MemvitError, match="column video is missing"):
        client_of(store, path)


def test_moments_to_label_are_those_of_teach(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.csv"
    with client_of(store, path) as client:

        def asked(**more: Any) -> dict[str, Any]:
            answer = client.post("/api/suggest", json={"count": 4, **more})
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        first = asked()
        assert (first["reads"], first["films"]) == ("people", 2) and "no labels of both kinds" in first["about"]
        assert {one["video"] for one in first["questions"]} == {"a-1", "b-2"}, "the others cannot be looked at"
        assert len(first["questions"]) == 4 and all(one["person"] in (1, 2) for one in first["questions"])
        assert asked(reads="clips")["questions"][0]["person"] is None
        places = [{key: one[key] for key in ("video", "seconds", "person")} for one in first["questions"]]
        others = asked(asked=places)["questions"]
        assert others
        for one in others:
            near = [place for place in places if (place["video"], place["person"]) == (one["video"], one["person"])]
            assert all(abs(place["seconds"] - one["seconds"]) >= 3 for place in near)
        for place, label in zip(places, (True, False, True, False), strict=True):
            assert client.put("/api/labels", json=place | {"label": label}).status_code == 204
        report = run_teach(str(store), path, None, None, reads=None, ask=40, picture=None)
        then = asked(count=40)
        assert [(one["video"], one["seconds"], one["person"]) for one in then["questions"]] == [
            (one.video, one.seconds, one.person) for one in report.questions if one.video != "gone-3"
        ]
        assert then["about"].startswith("This action: 4 labels") and then["questions"][0]["score"] is not None
        monkeypatch.setattr("pipelines.browse.suggesting.MOST_FILMS", 1)
        assert asked()["films"] <= 1
    assert client_of(store).post("/api/suggest", json={}).status_code == 400


def test_without_a_file_there_are_no_labels(client: TestClient) -> None:
    answer = client.put("/api/labels", json={"video": "a-1", "seconds": 3, "label": True})
    assert answer.status_code == 400 and "--labels" in answer.json()["detail"]


def test_an_archive_without_boxes_and_an_empty_one(tmp_path: Path, store: Path) -> None:
    archive = Archive.create(str(tmp_path / "c.zarr"), MADE_WITH)
    with client_of(tmp_path / "c.zarr") as client:
        assert client.get("/api/films").json() == {"films": [], "count": 0}
        assert client.get("/api/find", params={"action": MADE_WITH.classes[0]}).json()["results"] == []
    archive = Archive.create(str(tmp_path / "d.zarr"), replace(MADE_WITH, classes=CLASSES, boxes=""))
    add_film(archive, "a-1", store.parent / "films/a.mp4", rows(1, is_people=False))
    with client_of(tmp_path / "d.zarr") as client:
        assert client.get("/api/info").json()["has_people"] is False
        assert client.get("/api/films/a-1/moment", params={"seconds": 3}).json()["people"] is None
        assert [row["action"] for row in client.get("/api/films/a-1/strip").json()["rows"]] == ["stand", "wave"]
        assert client.get("/api/find", params={"action": "wave"}).json()["results"][0]["person"] is None


def test_the_guards_are_those_of_the_live_page(store: Path, client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "media-src 'self'" in policy and "unsafe" not in policy
    assert client.get("/api/info", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/api/info", headers={"Origin": "http://evil.example"}).status_code == 403
    guarded = client_of(store, token="long-enough")
    assert guarded.get("/api/films/a-1/video").status_code == 401
    assert guarded.get("/", params={"token": "long-enough"}, follow_redirects=False).status_code == 303
    headers = {"Authorization": "Bearer long-enough"}
    assert guarded.get("/api/films/a-1/video", headers=headers).status_code == 200
    assert client.get("/page/../app.py").status_code == 404 and client.get("/page/%2e%2e%2fapp.py").status_code == 404


def test_serve_shows_an_archive_under_its_own_path(store: Path, tiny: nn.Module, tmp_path: Path) -> None:
    app = make_live_app(
        make_service(tiny, tmp_path), archive=FilmLibrary(BrowseOptions(str(store))), token="long-enough"
    )
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": "Bearer long-enough"}) as client:
        assert client.get("/api/info").json()["archive"] is True
        page = client.get("/archive")
        assert page.url.path == "/archive/" and 'href="page/base.css"' in page.text, "addresses are relative"
        assert "media-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/archive/page/archive.js").status_code == 200
        assert client.get("/archive/api/find", params={"action": "wave"}).json()["found"] == 3
        part = client.get("/archive/api/films/a-1/video", headers={"Range": "bytes=0-9"})
        assert part.status_code == 206 and len(part.content) == 10
        assert client.get("/archive/api/films/none").json()["detail"] == "there is no such film in the archive"
        opened = client.get("/archive/", params={"token": "long-enough"}, headers={"Authorization": ""})
        assert opened.history[0].status_code == 303 and opened.url.path == "/archive/"
    with TestClient(app, base_url="http://127.0.0.1") as stranger:
        assert stranger.get("/archive/api/info").status_code == 401


def test_the_configuration_names_an_archive() -> None:
    assert parse_config("archive: films.zarr", "c").archive == "films.zarr"
    found = parse_config("archive: {store: s3://films.zarr, labels: l.csv}", "c")
    assert (found.archive, found.archive_labels) == ("s3://films.zarr", Path("l.csv"))
    with pytest.raises(MemvitError, match="no `store`"):
        parse_config("archive: {labels: l.csv}", "c")


def test_taught_actions_can_be_searched_for(store: Path, tmp_path: Path) -> None:
    made_with = memvit.store.open(str(store)).provenance
    head = Head("turned", "clips", identity_of(made_with), np.array([0, 9], np.float32), 0.0)
    save_head(tmp_path / "turned.safetensors", head)
    save_head(tmp_path / "other.safetensors", replace(head, model=replace(head.model, weights_sha256="other")))
    heads = (tmp_path / "turned.safetensors", tmp_path / "other.safetensors")
    with pytest.raises(HeadError, match="teach it again"):
        FilmLibrary(BrowseOptions(str(store), heads=heads))
    library = FilmLibrary(BrowseOptions(str(store), heads=heads, all_heads_fit=False))
    with TestClient(make_guarded_app(library), base_url="http://127.0.0.1") as client:
        assert client.get("/api/info").json()["taught"] == ["turned"]
        found = client.get("/api/find", params={"taught": "turned", "text": "a-1"}).json()["results"]
    expected = [one.to_record() for one in memvit.store.open(str(store)).find(heads=[head], video="a-1")]
    assert found == expected and len(found) == 1 and found[0]["person"] is None


def test_labels_that_could_not_be_written_are_refused_at_the_start(store: Path, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match="there is no folder"):
        client_of(store, tmp_path / "none" / "labels.csv")
