"""Sources that clients name do not lead the server to metadata services, by name, redirect or playlist."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torch import nn

from memvit.streams.policy import LivePolicy
from memvit.types import MemvitError, SourceError
from pipelines.serve import addresses, proxy
from pipelines.serve.addresses import AddressDenied, AddressRules, address_rules, host_of
from pipelines.serve.proxy import CheckingProxy, proxy_for
from pipelines.serve.sources import SourceRefused, SourceRules, open_checked
from tests.pipelines.serve.serving import added, client_of, make_service, state_of
from tests.processes import wait_for

POLICY = LivePolicy(open_timeout_seconds=5, read_timeout_seconds=5)
OTHER_LOOPBACK = address_rules(["127.0.0.2"], [])
"""127.0.0.2 stands for a metadata service: a server of the test can listen there."""


class Server:
    """An HTTP server at 127.0.0.1 or 127.0.0.2 that notes which paths were asked for."""

    def __init__(self, host: str, answers: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
        asked = self.asked = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                asked.append(self.path)
                status, headers, body = answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def secret() -> Iterator[Server]:
    with closing(Server("127.0.0.2", {})) as made:
        yield made


@pytest.fixture
def guard() -> Iterator[CheckingProxy]:
    with closing(CheckingProxy(OTHER_LOOPBACK, timeout_seconds=5)) as made:
        yield made


DENIED = [
    "http://169.254.169.254/latest/meta-data", "https://169.254.169.254", "rtsp://user:pw@169.254.169.254:554/x",
    "http://2852039166/", "http://0xa9.0xfe.0xa9.0xfe/", "http://0251.0376.0251.0376/", "http://[fd00:ec2::254]/",
    "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[fe80::1]/x", "http://a@b@169.254.1.1/",
    "http://100.100.100.200/", "http://169.254.169.254?x", "http://169.254.169.254#x",
]  # fmt: skip


@pytest.mark.parametrize("location", DENIED)
def test_literal_addresses_of_metadata_services_are_refused_at_once(location: str) -> None:
    with pytest.raises(SourceRefused, match="does not connect to for clients"):
        SourceRules().check(location)


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:8080/x", "rtsp://10.1.2.3/main", "http://169.253.1.1/", "rtsp://camera/x"]
)
def test_other_addresses_are_allowed_by_default(location: str) -> None:
    assert SourceRules().check(location) == location


def test_loopback_and_private_networks_are_denied_on_request() -> None:
    rules = address_rules(["loopback", "private", "8.8.8.0/24"], ["10.1.0.0/16", "169.254.7.7"])
    for denied in ("127.0.0.1", "::1", "0.0.0.0", "192.168.1.1", "fd12::1", "8.8.8.8", "10.2.0.1", "169.254.169.254"):
        assert rules.is_denied(denied), denied
    for allowed in ("10.1.2.3", "169.254.7.7", "1.1.1.1", "2606:4700::1111"):
        assert not rules.is_denied(allowed), allowed


def test_an_option_that_is_no_network_is_an_error() -> None:
    with pytest.raises(MemvitError, match="--deny-address home: name an address, a network such as"):
        address_rules(["home"], [])


@pytest.mark.parametrize(
    ("location", "host"),
    [("http://a:b@c@host:80/x@y", "host"), ("rtsp://[::1]:554/", "::1"), ("http://h?@x", "h"), ("/a/file.mp4", "")],
)
def test_the_host_is_what_ffmpeg_connects_to(location: str, host: str) -> None:
    assert host_of(location) == host


def test_a_name_is_resolved_and_checked_when_the_source_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("1.2.3.4", "169.254.169.254")]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *arguments, **options: found)
    with pytest.raises(AddressDenied, match=r"rtsp://\*\*\*@camera/x: it leads to 169.254.169.254") as refused:
        open_checked("rtsp://user:secret@camera/x", POLICY, addresses=AddressRules())
    assert refused.value.kind == "access" and "secret" not in str(refused.value)


def test_redirects_to_denied_addresses_are_not_followed(guard: CheckingProxy, secret: Server) -> None:
    with closing(Server("127.0.0.1", {"/a": (302, {"Location": f"{secret.url}/keys"}, b"")})) as first:
        with pytest.raises(AddressDenied, match=r"127\.0\.0\.2"):
            open_checked(f"{first.url}/a", POLICY, proxy=guard)
        assert first.asked == ["/a"] and secret.asked == []


@pytest.mark.parametrize("part", ["{secret}/keys.ts", "/part.ts", "httpproxy://{host}/{host}"])
def test_playlists_do_not_lead_to_denied_addresses(guard: CheckingProxy, secret: Server, part: str) -> None:
    """A part at a denied address, one that is redirected there, and one that would go round the proxy."""
    part = part.format(secret=secret.url, host=secret.url.removeprefix("http://"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{part}\n#EXT-X-ENDLIST\n"
    answers = {
        "/list.m3u8": (200, {"Content-Type": "application/vnd.apple.mpegurl"}, playlist.encode()),
        "/part.ts": (302, {"Location": f"{secret.url}/keys"}, b""),
    }
    with closing(Server("127.0.0.1", answers)) as first:
        with pytest.raises(SourceError):
            open_checked(f"{first.url}/list.m3u8", POLICY, proxy=guard)
        assert first.asked == ["/list.m3u8", *([part] if part == "/part.ts" else [])]
    assert secret.asked == []


def test_allowed_redirects_are_followed(guard: CheckingProxy, video: Path) -> None:
    answers = {"/a": (302, {"Location": "/b"}, b""), "/b": (200, {"Content-Type": "video/mp4"}, video.read_bytes())}
    with closing(Server("127.0.0.1", answers)) as first:
        with open_checked(f"{first.url}/a", POLICY, proxy=guard) as source:
            assert sum(1 for _ in source) == 20
        assert first.asked[:2] == ["/a", "/b"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_reason_of_a_failed_connection_is_told(guard: CheckingProxy, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceError, match="connection refused") as refused:
        open_checked(f"{scheme}://127.0.0.1:{port}/x", POLICY, proxy=guard)
    assert refused.value.kind == "refused"


@pytest.mark.parametrize(
    "request_head", [b"", b"x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"CONNECT a:99999 HTTP/1.1\r\n\r\n", b"x" * 20_000]
)
def test_requests_that_are_no_http_are_hung_up_on(guard: CheckingProxy, request_head: bytes) -> None:
    address = guard.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), 5) as client:
        client.sendall(request_head)
        client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert client.recv(100) == b""


def test_the_environment_makes_no_exceptions_from_the_proxy(monkeypatch: pytest.MonkeyPatch, secret: Server) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.2")
    made = proxy_for("http://127.0.0.2/", OTHER_LOOPBACK, 5)
    assert made is not None and "no_proxy" not in os.environ and os.environ["NO_PROXY"] == "127.0.0.2"
    with closing(made), pytest.raises(AddressDenied):
        open_checked(f"{secret.url}/keys", POLICY, proxy=made)
    assert secret.asked == []
    assert proxy_for("rtsp://camera/x", OTHER_LOOPBACK, 5) is None


def test_clients_are_refused_and_the_servers_own_sources_are_not(
    tiny: nn.Module, tmp_path: Path, secret: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "hide_proxy_exceptions", lambda: None)
    service = make_service(tiny, tmp_path, addresses=OTHER_LOOPBACK)
    service.add_initial_streams([f"{secret.url}/own"], realtime=False)
    answers = {"/a": (302, {"Location": f"{secret.url}/keys"}, b"")}
    with closing(Server("127.0.0.1", answers)) as first, client_of(service) as client:
        refused = client.post("/api/streams", json={"source": f"{secret.url}/keys"})
        assert refused.status_code == 403 and "127.0.0.2" in refused.json()["detail"]
        added(client, f"{first.url}/a", id="a")
        wait_for(lambda: "127.0.0.2" in (state_of(client, "a")["last_failure"] or ""), 20)
        wait_for(lambda: secret.asked, 20)
    assert set(secret.asked) == {"/own"}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from memvit.datasets.long_cue import Scene, write_video

    path = tmp_path_factory.mktemp("made") / "video.mp4"
    write_video(Scene(seed=1, seconds=2, width=64, height=48, frames_per_second=10), path)
    return path
