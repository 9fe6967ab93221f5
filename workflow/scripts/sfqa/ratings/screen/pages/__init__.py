"""Files of the pages, read once: HTML, a style sheet and JavaScript modules, without build step."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class Pages:
    """The files of this folder that are sent to browsers, by name."""

    def __init__(self) -> None:
        files = [p for p in sorted(Path(__file__).parent.iterdir()) if p.suffix in _TYPES]
        self._files = {p.name: p.read_bytes() for p in files}
        self._tags = {n: f'"{hashlib.sha256(b).hexdigest()[:24]}"' for n, b in self._files.items()}

    def make_response(self, request: Request, name: str, status: int = 200) -> Response:
        """Return the response for a file; 304 if the browser has it already."""
        headers = {"etag": self._tags[name], "cache-control": "no-cache"}
        if status == 200 and request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        media_type = _TYPES[Path(name).suffix]
        return Response(self._files[name], status, headers, media_type=media_type)

    async def send_static(self, request: Request) -> Response:
        """Answer ``/static/{name}`` with a style sheet, a script or a picture, not with a page."""
        name = request.path_params["name"]
        if name not in self._files or name.endswith(".html"):
            raise HTTPException(404)
        return self.make_response(request, name)
