"""Files of the web pages, those of one server and those that all have in common, and answers to wrong requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response

from memvit.types import MemvitError

from .colours import colours_css

COMMON = Path(__file__).parent / "page"
NO_CACHE = {"Cache-Control": "no-cache"}


def page_file(folder: Path, name: str) -> Response:
    """A file of a page's folder or of the common one, or the colours as CSS. HTTPException 404 if there is none."""
    if name == "colours.css":
        return Response(colours_css(), media_type="text/css", headers=NO_CACHE)
    for path in (*folder.iterdir(), *COMMON.iterdir()):
        if path.name == name:
            return FileResponse(path, headers=NO_CACHE)
    raise HTTPException(404, "there is no such file")


async def invalid_request(request: Request, error: Exception) -> Response:
    """What is wrong and where, without repeating what was sent: not all of it can be written as JSON."""
    assert isinstance(error, RequestValidationError)
    parts = [{"loc": part["loc"], "msg": part["msg"], "type": part["type"]} for part in error.errors()]
    return JSONResponse({"detail": parts}, 422)


def add_errors(app: FastAPI, status_of: Mapping[type[MemvitError], int]) -> None:
    """Answer errors with their sentences, and wrong requests with what is wrong."""
    for error, code in status_of.items():
        app.add_exception_handler(error, _answer_with(code))
    app.add_exception_handler(RequestValidationError, invalid_request)


def _answer_with(code: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, code)

    return answer
