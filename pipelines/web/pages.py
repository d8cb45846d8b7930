"""Files of the web pages: those of one server, and those that all have in common."""

from __future__ import annotations

from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import FileResponse, Response

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
