"""The page: what the browser app was built to, and the policy that it runs under."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For files whose names change with their content."""
_ASK_AGAIN: Final = "no-cache"

_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Chorus</title>
<h1>The page is not built yet</h1>
<p>Everything else works. Run <code>make setup</code>, or <code>npm run build</code> in <code>edge/web</code>,
and load this again.</p></html>
"""


def policy(ws_url: str) -> str:
    """The page's Content-Security-Policy: it loads nothing but its own files and talks to nobody but us."""
    socket = urlsplit(ws_url)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "font-src 'self'",
            "manifest-src 'self'",
            f"connect-src 'self' {socket.scheme}://{socket.netloc}",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class WebPage(StaticFiles):
    """Serves the built files; every address without a file of its own is the app's, which reads it itself."""

    def __init__(self, built: Path, ws_url: str) -> None:
        super().__init__(directory=built, check_dir=False)
        self._built = built
        self._policy = policy(ws_url)

    async def check_config(self) -> None:
        """Nothing to check: the page may be built while this process runs."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if f"{scope['path']}/".startswith("/v1/"):
            raise HTTPException(404)
        if not (self._built / "index.html").is_file():
            return HTMLResponse(_NOT_BUILT, 503, {"Cache-Control": _ASK_AGAIN, "Retry-After": "5"})
        if path == "." or "." not in path.rpartition("/")[2]:
            path = "index.html"
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = _FOR_EVER if path.startswith("assets/") else _ASK_AGAIN
        response.headers["Content-Security-Policy"] = self._policy
        if scope["path"].startswith("/shared/"):
            response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        return response
