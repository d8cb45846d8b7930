"""`memvit serve` in its own process or in this one: streams, results, and what clients may not do."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from schemathesis import GenerationMode
from starlette.websockets import WebSocketDisconnect
from torch import nn
from typer.testing import CliRunner

from memvit.datasets.long_cue import Scene, write_video
from memvit.labels import labels_for
from memvit.streams.events import StreamStalled
from memvit.teaching import Head, ModelIdentity, save_head
from memvit.types import MemvitError
from pipelines.cli.app import app as cli
from pipelines.serve.app import make_app
from pipelines.serve.hub import MAX_QUEUED_EVENTS, MAX_REPLAYED_EVENTS, EventHub
from pipelines.serve.sources import SourceRefused, SourceRules
from pipelines.web.auth import MAX_BODY_BYTES, is_loopback
from pipelines.web.listening import check_address
from tests.pipelines.serve.serving import added, make_service, state_of
from tests.processes import START_SECONDS, Command, actors, wait_for
from tests.streams.servers import server

TINY = ["--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that clients may name: two videos, and playlists that try to lead out."""
    made = tmp_path_factory.mktemp("offered")
    write_video(Scene(seed=1, seconds=30, width=128, height=96), made / "long.mp4")
    write_video(Scene(seed=2, seconds=4, width=128, height=96), made / "short.mp4")
    outside = tmp_path_factory.mktemp("outside")
    write_video(Scene(seed=3, seconds=4, width=128, height=96), outside / "secret.mp4")
    (made / "link.mp4").symlink_to(outside / "secret.mp4")
    (made / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{outside / 'secret.mp4'}\n#EXT-X-ENDLIST\n"
    )
    (made / "concat.mp4").write_text("ffconcat version 1.0\nfile short.mp4\n")
    return made


@pytest.fixture
def client(tiny: nn.Module, folder: Path) -> Iterator[TestClient]:
    app = make_app(make_service(tiny, folder, max_streams=3))
    with TestClient(app, base_url="http://127.0.0.1") as made:
        yield made


@pytest.fixture(scope="module")
def url(tiny: nn.Module, folder: Path) -> Iterator[str]:
    """The address of a real server, in a thread of ours."""
    config = uvicorn.Config(make_app(make_service(tiny, folder, max_streams=6)), port=0, log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    wait_for(lambda: running.started, 30)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = running.force_exit = True
    thread.join(20)


def test_streams_are_added_listed_and_removed(client: TestClient, folder: Path) -> None:
    assert client.get("/api/streams").json() == {"streams": []}
    assert added(client, folder / "short.mp4")["id"] == "short"
    assert added(client, folder / "short.mp4")["id"] == "short-2"
    wait_for(lambda: state_of(client, "short")["state"] == "ended", 30)
    status = state_of(client, "short")
    assert status["stats"]["clips"] == 4 and status["seconds"] == 3.0 and status["width"] == 128
    assert status["latency_seconds"]["p99"] > 0 and status["memory_reach_seconds"] > 0
    again = client.post("/api/streams", json={"source": str(folder / "short.mp4"), "id": "short"})
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    added(client, folder / "long.mp4", id="third")
    full = client.post("/api/streams", json={"source": str(folder / "long.mp4")})
    assert (full.status_code, "3 streams are the most" in full.json()["detail"]) == (503, True)
    for name in ("short", "short-2", "third"):
        assert client.delete(f"/api/streams/{name}").status_code == 204
        assert client.delete(f"/api/streams/{name}").status_code == 404
    assert client.get("/api/streams/short").status_code == 404
    assert client.get("/api/streams").json() == {"streams": []}
    info = client.get("/api/info").json()
    assert info["memory_reads"] == [2, 4] and len(info["classes"]) == 80


ESCAPES = [
    "/etc/passwd", "/etc/../etc/hostname", "etc", ".", "..", "~", "", " ", "\x00", "a\nb", "-", "nothing.mp4",
    "{folder}/../outside0/secret.mp4", "{folder}/link.mp4", "{folder}", "{folder}/", "{folder}/missing.mp4",
    "file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "file:{folder}/short.mp4",
    "file://localhost{folder}/short.mp4", "concat:{folder}/short.mp4|/etc/passwd", "concat://{folder}/short.mp4",
    "concatf:/etc/passwd", "subfile,,start,0,end,0,,:/etc/passwd", "subfile,,start,0,end,100,,:{folder}/short.mp4",
    "async:/etc/passwd", "cache:/etc/passwd", "crypto:/etc/passwd", "crypto+file:///etc/passwd", "data:text/plain,x",
    "pipe:0", "pipe:", "fd:0", "md5:/tmp/x", "tee:/tmp/x", "unix:/run/x", "unix:///run/docker.sock",
    "ftp://127.0.0.1/x", "sftp://127.0.0.1/x", "gopher://127.0.0.1/x", "smb://127.0.0.1/x", "tcp://127.0.0.1:22",
    "udp://127.0.0.1:9", "rtmp://127.0.0.1/x", "srt://127.0.0.1:9", "hls+file:///etc/passwd", "http,file:///etc/passwd",
    "http:///etc/passwd", "http://", "rtsp:/etc/passwd", "rtsp://\r\nx", "http://a\x7fb", "\\\\server\\share",
    "/dev/video0", "/dev/stdin", "/dev/fd/0", "/proc/self/environ", "lavfi:testsrc", "x11grab://:0",
]  # fmt: skip


@pytest.mark.parametrize("escape", ESCAPES)
def test_what_is_not_offered_is_not_opened(escape: str, folder: Path) -> None:
    rules = SourceRules(folders=(folder,))
    with pytest.raises(SourceRefused) as refused:
        rules.check(escape.replace("{folder}", str(folder)))
    assert "passwd" not in str(refused.value) and "\n" not in str(refused.value)


def test_refusals_over_the_api(client: TestClient, folder: Path) -> None:
    for escape in ESCAPES:
        answer = client.post("/api/streams", json={"source": escape.replace("{folder}", str(folder))})
        assert answer.status_code in (403, 422), (escape, answer.text)
    assert client.get("/api/streams").json() == {"streams": []}
    for wrong in (
        "[]", "{}", "x", '{"source": 1}', '{"source": "x", "overflow": "never"}', '{"source": "x", "other": 1}',
        '{"source": "x", "id": "../../x"}', '{"source": "x", "max_age_seconds": 1e999}',
    ):  # fmt: skip
        answer = client.post("/api/streams", content=wrong, headers={"content-type": "application/json"})
        assert answer.status_code == 422, (wrong, answer.text)


@pytest.mark.parametrize("name", ["list.m3u8", "concat.mp4"])
def test_a_playlist_in_an_offered_folder_leads_nowhere(client: TestClient, folder: Path, name: str) -> None:
    added(client, folder / name, id="p")
    wait_for(lambda: state_of(client, "p")["state"] == "failed", 30)
    assert state_of(client, "p")["stats"]["frames"] == 0


def test_a_playlist_from_the_network_leads_to_no_file(client: TestClient, folder: Path) -> None:
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{folder}/short.mp4\n#EXT-X-ENDLIST\n"

    def answer(connection: Any, stopping: threading.Event) -> None:
        connection.recv(4096)
        head = "HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nConnection: close\r\n\r\n"
        connection.sendall((head + playlist).encode())

    with server([answer]) as port:
        added(client, f"http://127.0.0.1:{port}/list.m3u8", id="p")
        wait_for(lambda: state_of(client, "p")["stats"]["lost"], 30)
        status = state_of(client, "p")
        assert status["stats"]["frames"] == 0 and status["state"] in ("waiting", "connecting")
        client.delete("/api/streams/p")


def test_allowed_kinds_are_the_users_choice(folder: Path) -> None:
    rules = SourceRules(schemes=("udp",), cameras=True)
    assert rules.check("udp://239.0.0.1:1234") == "udp://239.0.0.1:1234"
    assert rules.check("/dev/video0") == "/dev/video0"

    for refused in ("rtsp://127.0.0.1/x", str(folder / "short.mp4")):
        with pytest.raises(SourceRefused):
            rules.check(refused)


def test_a_token_is_needed_where_one_is_set(tiny: nn.Module, folder: Path) -> None:
    app = make_app(make_service(tiny, folder), token="s3cret-token", is_local=False)
    with TestClient(app, base_url="http://cams.example", follow_redirects=False) as client:
        for path in ("/", "/api/streams", "/api/info", "/metrics", "/docs", "/openapi.json", "/?token=wrong"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers.get("www-authenticate")) == (401, "Bearer"), path
        assert client.get("/health").status_code == client.get("/ready").status_code == 200
        assert client.get("/api/streams", headers={"authorization": "Bearer wrong"}).status_code == 401
        right = {"authorization": "Bearer s3cret-token"}
        assert client.get("/api/streams", headers=right).status_code == 200
        welcome = client.get("/", params={"token": "s3cret-token"})
        assert welcome.status_code == 303 and "s3cret" not in welcome.headers["location"]
        cookie = welcome.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/ws"):  # which brings no cookie here
            pass


def test_other_sites_and_other_names_are_not_answered(client: TestClient) -> None:
    assert client.get("/api/streams", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/api/streams", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/api/streams", headers={"host": "localhost:8000"}).status_code == 200
    same = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
    assert client.get("/api/streams", headers=same).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/page/page.js", "/api/streams", "/metrics", "/nothing"])
def test_every_answer_tells_browsers_what_its_page_may_do(client: TestClient, path: str) -> None:
    for host in ("127.0.0.1", "evil.example"):  # whose answer is a refusal
        headers = client.get(path, headers={"host": host}).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'" and policy["script-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_the_documentation_comes_from_this_server_alone(client: TestClient) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 4 and all(link.startswith("/") for link in links) and "<script>" not in page
    for link in links:
        assert client.get(link).status_code == 200, link
    assert client.get("/docs/../core.py").status_code == client.get("/docs/redoc.standalone.js").status_code == 404


def test_odd_headers_are_no_server_errors(client: TestClient) -> None:
    for headers in ({"host": "[::1"}, {"origin": "http://["}, {"last-event-id": "\u00b2".encode()}):
        found = client.get("/api/streams/none/events", headers=headers)  # type: ignore[arg-type]
        assert found.status_code in (403, 404, 421), headers


def test_behind_a_proxy_the_token_is_what_counts(tiny: nn.Module, folder: Path) -> None:
    """Another host name, an origin that is not the host's, and cookies that other servers of this host have set."""
    app = make_app(make_service(tiny, folder), token="s3cret-token")
    with TestClient(app, base_url="http://127.0.0.1") as client:
        headers = {"host": "cams.example", "origin": "https://cams.example"}
        assert client.get("/api/streams", headers=headers).status_code == 401
        for other in ('x={"a":1}', "user=a b", "k@v", "a[b]=1"):
            cookie = {"cookie": f"{other}; memvit_token=s3cret-token"}
            assert client.get("/api/streams", headers=headers | cookie).status_code == 200, other


def test_an_ended_file_gives_no_more_results_after_a_restart(tiny: nn.Module, folder: Path, tmp_path: Path) -> None:
    for expected in (4, 0):
        with TestClient(make_app(make_service(tiny, folder, state=tmp_path)), base_url="http://127.0.0.1") as client:
            if expected:
                added(client, folder / "short.mp4", id="s")
            wait_for(lambda client=client: state_of(client, "s")["state"] == "ended", 30)  # type: ignore[misc]
            assert state_of(client, "s")["stats"]["clips"] == expected


def test_bodies_are_limited(client: TestClient) -> None:
    assert client.post("/api/streams", content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 8192

    headers = {"content-type": "application/json"}
    assert client.post("/api/streams", content=endless(), headers=headers).status_code in (400, 413, 422)


def test_an_open_address_needs_a_token() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("localhost") and is_loopback("::1") and is_loopback("127.8.8.8")
    for host in ("0.0.0.0", "192.168.1.2", "::", "example.org"):
        assert not is_loopback(host)
        with pytest.raises(MemvitError, match="set a token with --token or the variable MEMVIT_TOKEN"):
            check_address(host, None)
        check_address(host, "long-enough")
    for token in ("short", "has spaces in it", "nön-äscii-tökën"):
        with pytest.raises(MemvitError, match="--token: use at least 8 characters"):
            check_address("127.0.0.1", token)


def test_metrics_count_clips_and_health_is_well(client: TestClient, folder: Path) -> None:
    added(client, folder / "short.mp4", id="s")
    wait_for(lambda: state_of(client, "s")["state"] == "ended", 30)
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert families["memvit_streams"].samples[0].value == 1
    assert [sample.value for sample in families["memvit_clips"].samples if sample.labels == {"stream": "s"}] == [4]
    counts = [sample for sample in families["memvit_latency_seconds"].samples if sample.name.endswith("_count")]
    assert {sample.labels["part"]: sample.value for sample in counts}["all"] == 4
    assert client.get("/health").json() == {"status": "well"}


@pytest.mark.parametrize("examples", [20, pytest.param(30, marks=pytest.mark.slow)])
def test_the_fuzzer_finds_no_server_error(examples: int, url: str) -> None:
    """Over 200 requests made from the OpenAPI schema; the events of all streams never end and stay out."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    codes: Counter[int] = Counter()
    for found, mode in itertools.product(schema.get_all_operations(), GenerationMode):
        operation = found.ok()
        if operation.path == "/api/events" or (mode == GenerationMode.NEGATIVE and not len(operation.body)):
            continue  # all but the body is a name, which anything may be
        if operation.path == "/api/reload" and mode == GenerationMode.NEGATIVE:
            continue  # it takes nothing that could be wrong

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call(timeout=20)
            codes[answer.status_code] += 1
            assert answer.status_code < 500 or answer.status_code == 503, (case, answer.content)

        ask()
    assert codes.total() >= 200 and codes[201] + codes[403] > 0 and codes[422] > 0, codes
    with httpx.Client(base_url=url) as client:
        assert client.get("/health").status_code == 200
        for stream in client.get("/api/streams").json()["streams"]:
            client.delete(f"/api/streams/{stream['id']}")


def server_sent(lines: Iterator[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(number, kind, data) of server-sent events."""
    number, kind = 0, ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            yield number, kind, json.loads(value)


def test_events_come_in_order_and_go_on_where_they_broke(url: str, folder: Path) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        added(client, folder / "long.mp4", id="a")
        with client.stream("GET", "/api/streams/a/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            found = []
            for event in server_sent(answer.iter_lines()):
                found.append(event)
                if len(found) == 8:
                    break
        last = found[-1][0]
        with client.stream("GET", "/api/streams/a/events", headers={"Last-Event-ID": str(last)}) as answer:
            for event in server_sent(answer.iter_lines()):
                found.append(event)
                if event[1] == "ended":
                    break
        numbers = [number for number, _, _ in found]
        assert numbers == sorted(set(numbers))
        assert found[0][1] == "opened" and found[0][2]["width"] == 128
        results = [data for _, kind, data in found if kind == "result"]
        assert [data["clip"] for data in results] == list(range(30))
        assert results[5]["people"][0]["person"] == 1 and results[5]["memory"]["attended_seconds"] == [2.0, 4.0]
        assert set(results[5]["latency"]) == {"seconds", "decode", "queue", "boxes", "model"}
        client.delete("/api/streams/a")
        assert client.get("/api/streams/a/events").status_code == 404


def test_a_websocket_gets_the_same_events(url: str, folder: Path) -> None:
    from websockets.sync.client import connect

    with httpx.Client(base_url=url) as client, connect(url.replace("http", "ws") + "/api/ws") as socket:
        added(client, folder / "short.mp4", id="w")
        kinds = []
        while "ended" not in kinds:
            message = json.loads(socket.recv(20))
            if message["event"] != "alive" and message["data"]["stream"] == "w":
                kinds.append(message["event"])
        assert kinds == ["opened", "result", "result", "result", "result", "ended"]
        client.delete("/api/streams/w")


def test_pictures_are_drawn_for_clients_that_read_them(url: str, folder: Path) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        added(client, folder / "long.mp4", id="m", realtime=True)
        pictures: list[Image.Image] = []
        with client.stream("GET", "/api/streams/m/video") as answer:
            assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=memvitframe"
            content = b""
            for part in answer.iter_bytes():
                content += part
                while (match := re.search(rb"Content-Length: (\d+)\r\n\r\n", content)) and (
                    len(content) >= match.end() + int(match[1])
                ):
                    end = match.end() + int(match[1])
                    pictures.append(Image.open(io.BytesIO(content[match.end() : end])))
                    content = content[end:]
                if len(pictures) >= 12:
                    break
        assert {picture.size for picture in pictures} == {(640, 536)}, "enlarged, with the strip below"
        assert len({picture.tobytes() for picture in pictures}) > 6, "it moves"
        client.delete("/api/streams/m")


class Server:
    """The command itself, and a client of it."""

    def __init__(self, *words: object) -> None:
        self.command = Command(["serve", *TINY, *words, "--port", 0])
        wait_for(lambda: "serves at" in self.command.output.read_text(), START_SECONDS)
        self.address = re.search(r"http://[\d.:]+", self.command.output.read_text())[0]  # type: ignore[index]
        self.client = httpx.Client(base_url=self.address, timeout=20)
        wait_for(self.is_ready, START_SECONDS)

    def is_ready(self) -> bool:
        try:
            return self.client.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def results(self, name: str) -> dict[float, dict[str, Any]]:
        """All results of a file, by second, once it is over."""
        found = {}
        with self.client.stream("GET", f"/api/streams/{name}/events") as answer:
            for _, kind, data in server_sent(answer.iter_lines()):
                if kind == "result":
                    found[data["seconds"]] = data
                if kind in ("ended", "failed"):
                    assert kind == "ended", data
                    return found
        raise AssertionError("the events ended before the file")


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    """A result without what depends on when it was computed."""
    return {key: value for key, value in data.items() if key not in ("time", "latency", "time_unix", "missed")}


def test_a_killed_server_resumes_with_the_results_of_an_uninterrupted_run(folder: Path, tmp_path: Path) -> None:
    """SIGKILL in mid-stream; the memory is the last saved one, and every result is that of an uninterrupted run.

    So are the numbers of people, whose boxes change their order; one of them comes and goes.
    """
    boxes = tmp_path / "boxes.csv"
    places = [(second, x) for second in range(30) for x in (0.7 - 0.02 * second, 0.1, 0.4) if x != 0.1 or second % 7]
    boxes.write_text("\n".join(f"a,{second},{x:.2f},0.2,{x + 0.1:.2f},0.8,," for second, x in sorted(places)))
    whole = Server("--allow-folder", folder, "--boxes", boxes)
    added(whole.client, folder / "long.mp4", id="a")
    expected = whole.results("a")
    whole.command.send(signal.SIGTERM)
    assert whole.command.finish(20)[0] == 0
    assert len(expected) == 30

    numbers = {person["person"] for data in expected.values() for person in data["people"]}
    assert len(numbers) >= 3
    words = ("--allow-folder", folder, "--boxes", boxes, "--state", tmp_path / "state", "--save-every", 0.1)
    first = Server(*words)
    added(first.client, folder / "long.mp4", id="a")
    wait_for(lambda: (state_of(first.client, "a")["seconds"] or 0) >= 8, 30)
    first.command.kill()
    (saved,) = (tmp_path / "state").glob("*.stream")
    assert saved.stat().st_mode & 0o077 == 0
    second = Server(*words)
    found = second.results("a")
    second.command.send(signal.SIGTERM)
    assert second.command.finish(20)[0] == 0
    assert min(found) > 0 and max(found) == 29 and len(found) == 30 - min(found)
    for seconds, data in found.items():
        assert without_times(data) == without_times(expected[seconds])


def test_saved_memory_is_used_with_the_same_weights_only(tiny: nn.Module, folder: Path, tmp_path: Path) -> None:
    """Another model's memory, half a file, a removed stream."""

    def run(model: str, *names: str) -> dict[str, Any]:
        service = make_service(tiny, folder, model=model, state=tmp_path, save_every_seconds=0.05)
        with TestClient(make_app(service), base_url="http://127.0.0.1") as client:
            for name in names:
                added(client, folder / "long.mp4", id=name, realtime=True)
            listed = [stream["id"] for stream in client.get("/api/streams").json()["streams"]]
            wait_for(lambda: all((state_of(client, name)["seconds"] or 0) >= 3 for name in listed), 40)
            if "gone" in listed:
                client.delete("/api/streams/gone")
            return {stream["id"]: stream for stream in client.get("/api/streams").json()["streams"]}

    first = run("one", "a", "b", "gone")
    assert {name: status["session"] for name, status in first.items()} == {"a": 0, "b": 0}
    (tmp_path / "b.stream").write_bytes((tmp_path / "b.stream").read_bytes()[:-10])
    (tmp_path / "c.part").write_bytes(b"half")
    second = run("one")
    assert list(second) == ["a"]
    assert second["a"]["session"] == 0 and second["a"]["seconds"] > first["a"]["seconds"]
    third = run("another")
    assert third["a"]["session"] == 1, "another model's memory is not used"


def test_a_subscriber_that_does_not_read_loses_its_oldest_events() -> None:
    async def run() -> None:
        hub = EventHub(labels_for(80, "ava"), top_k=1, hop_seconds=1.0)
        subscriber, other = hub.subscribe(None), hub.subscribe("b")
        for number in range(MAX_QUEUED_EVENTS + 40):
            hub.publish(StreamStalled("a", float(number)))
        await asyncio.sleep(0.05)
        assert subscriber.queue.qsize() == MAX_QUEUED_EVENTS and subscriber.lost_events == 40
        assert other.queue.empty()
        late = hub.subscribe("a")
        assert late.queue.qsize() == MAX_REPLAYED_EVENTS
        for one in (subscriber, other, late):
            hub.unsubscribe(one)
        assert hub.subscriber_count == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--host", "0.0.0.0"], "set a token with --token"),
        (["--port", "70000"], "--port"),
        (["--model", "nothing"], "no model"),
        (["--state", "/proc/nothing/here"], "the streams' state cannot be kept there"),
    ],
)
def test_invalid_options_end_with_one_sentence(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(cli, ["serve", *TINY, *words], env={"COLUMNS": "200"})
    assert result.exit_code in (1, 2) and "Traceback" not in result.output
    assert sentence in result.output, result.output


@pytest.mark.parametrize("by", ["--head", "--config"])
def test_a_head_of_another_model_ends_with_one_sentence(by: str, tmp_path: Path) -> None:
    head, config = tmp_path / "head.safetensors", tmp_path / "server.yaml"
    model = ModelIdentity.of("large", "a" * 64, {}, {}, remember=True)
    save_head(head, Head("opens fridge", "people", model, np.ones(96, np.float32), 0.0))
    config.write_text(f"heads: ['{head}']")
    named = head if by == "--head" else config
    result = CliRunner().invoke(cli, ["serve", *TINY, by, str(named)], env={"COLUMNS": "200"})
    assert result.exit_code == 1 and "Traceback" not in result.output
    sentence = "features of the model large, not of memvit_tiny_8x4; teach it again with this model"
    assert sentence in " ".join(result.output.split()), result.output


def test_a_taken_port_exits_1_with_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli, ["serve", *TINY, "--port", str(port)])
    assert result.exit_code == 1 and "cannot listen there" in result.output


def test_engines_on_ray_share_the_streams_and_are_replaced_when_they_die(folder: Path) -> None:
    """Two actors, two streams; one actor is killed, and its stream goes on where it was."""
    running = Server("--allow-folder", folder, "--engines", 2)
    for name in ("a", "b"):
        added(running.client, folder / "long.mp4", id=name, realtime=True)
    wait_for(lambda: all((state_of(running.client, name)["seconds"] or 0) >= 2 for name in "ab"), 60)
    victims = actors("EngineActor")
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    before = {name: state_of(running.client, name)["seconds"] for name in "ab"}
    wait_for(lambda: len(set(actors("EngineActor")) - set(victims)) == 1, 60)
    wait_for(lambda: all(state_of(running.client, name)["seconds"] >= before[name] + 3 for name in "ab"), 60)
    assert running.client.get("/health").status_code == 200
    assert sorted(state_of(running.client, name)["session"] for name in "ab") in ([0, 0], [0, 1])
    assert "memvit_clips_total" in running.client.get("/metrics").text
    running.command.send(signal.SIGTERM)
    assert running.command.finish(40)[0] == 0
