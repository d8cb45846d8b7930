"""The page, and that of the API's documentation."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, Response

from pipelines.web.pages import page_file

PAGE = Path(__file__).parent / "page"
DOCS_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
"""Files of Swagger UI (Apache-2.0) in the package fastapi-offline, so that /docs loads nothing from other servers."""


def add_pages(app: FastAPI) -> None:
    """Add the routes to an application."""

    @app.get("/", include_in_schema=False)
    def get_page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/page/{name}", include_in_schema=False)
    def get_page_file(name: str) -> Response:
        return page_file(PAGE, name)

    @app.get("/docs", include_in_schema=False)
    def get_docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs/{name}", include_in_schema=False)
    def get_docs_file(name: str) -> FileResponse:
        if name not in DOCS_FILES:
            raise HTTPException(404, "there is no such file")
        return FileResponse(Path(str(files("fastapi_offline"))) / "static" / name)
