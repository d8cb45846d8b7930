"""Which requests reach the application: those with the token, the right host name, and a body that is not too large."""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
COOKIE = "memvit_token"
OPEN_PATHS = ("/health", "/ready")
"""Paths that a load balancer may ask without a token."""
PAGES = ("/", "/archive/")
"""Pages that may be opened with the token in their address."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that is bound to this address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class AuthMiddleware:
    """Passes a request on to the application, or refuses it."""

    def __init__(self, app: ASGIApp, *, token: str | None, is_local: bool) -> None:
        """`is_local`: the server is bound to a loopback address. Without a token it then answers to such names only, so
        that no web page reaches it by pointing its own name at this machine (DNS rebinding).
        """
        self._app, self._token, self._is_local = app, token, is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, _BodyLimit(receive) if scope["type"] == "http" else receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._token is None:
            # Where there is a token, other names and pages of other sites are harmless: they do not know it.
            if self._is_local and not is_loopback(_host_of(f"//{headers.get('host', '')}")):
                return _error_response(421, "this server answers to localhost only; behind a proxy, give it a token")
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2] != headers.get("host"):
                return _error_response(403, "this server does not answer other sites' pages")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return _error_response(413, f"a request has at most {MAX_BODY_BYTES} bytes")
        if self._token is None or scope["path"] in OPEN_PATHS:
            return None
        in_query = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["type"] == "http" and scope["path"] in PAGES and self._is_token(in_query):
            # The page's own requests for pictures and events cannot send headers, but they send the cookie.
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(COOKIE, in_query, httponly=True, samesite="strict")
            return answer
        if any(self._is_token(given) for given in (_bearer(headers), _cookie(headers))):
            return None
        return _error_response(401, "a token is needed: Authorization: Bearer TOKEN, or open /?token=TOKEN", "Bearer")

    def _is_token(self, given: str) -> bool:
        return self._token is not None and secrets.compare_digest(given.encode(), self._token.encode())


class _BodyLimit:
    """Ends a request whose body exceeds the limit although its headers did not say so."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes = receive, 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._bytes > MAX_BODY_BYTES else message


def _bearer(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _cookie(headers: Headers) -> str:
    # Not the standard library's parser: it stops at the first malformed cookie, which another server of this host may
    # have set.
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _error_response(status: int, sentence: str, challenge: str | None = None) -> Response:
    headers = {"WWW-Authenticate": challenge} if challenge else None
    return JSONResponse({"detail": sentence}, status, headers)
