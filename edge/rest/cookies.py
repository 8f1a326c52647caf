"""Cookies: the refresh token of those who came by a provider, and which browser began a way to one.

A script never sees them. The refresh cookie goes only to `/v1/auth`, never with a request that another site caused
(SameSite=Strict), and is taken only from pages of our own origin: a page of a sibling subdomain is the same site.
"""

from typing import Final

from fastapi import Request, Response

from edge.errors import Refused
from edge.oauth.states import LIFETIME as STATE_LIFETIME
from edge.refresh_tokens import LIFETIME
from schemas.frames import ErrorCode

_REFRESH: Final = "chorus_refresh"
_BROWSER: Final = "chorus_browser"
_REFRESH_PATH: Final = "/v1/auth"
_BROWSER_PATH: Final = "/v1/auth/oauth"


class Cookies:
    """`public_url` says whether they are for TLS alone, and which origin is ours."""

    def __init__(self, public_url: str) -> None:
        self._secure = public_url.startswith("https://")
        self._origin = public_url
        prefix = "__Secure-" if self._secure else ""
        self._refresh, self._browser = prefix + _REFRESH, prefix + _BROWSER

    def keep_refresh(self, response: Response, token: str) -> None:
        response.set_cookie(
            self._refresh,
            token,
            max_age=int(LIFETIME.total_seconds()),
            path=_REFRESH_PATH,
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )

    def drop_refresh(self, response: Response) -> None:
        response.delete_cookie(self._refresh, path=_REFRESH_PATH, secure=self._secure, httponly=True, samesite="strict")

    def refresh(self, request: Request) -> str | None:
        """The refresh token in the request's cookie.

        Raises:
            Refused: `forbidden_origin`, where a page that is not ours sends it. Browsers name the page's origin with
                every POST; what names none is no browser, and nobody's cookies come with it by themselves.
        """
        token = request.cookies.get(self._refresh)
        if token is None:
            return None
        origin = request.headers.get("origin")
        if origin is not None and origin != self._origin and origin.partition("://")[2] != request.headers.get("host"):
            raise Refused(ErrorCode.FORBIDDEN_ORIGIN)
        return token

    def keep_browser(self, response: Response, browser: str) -> None:
        """Lax: the way back from a provider begins on its site."""
        response.set_cookie(
            self._browser,
            browser,
            max_age=int(STATE_LIFETIME.total_seconds()),
            path=_BROWSER_PATH,
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def browser(self, request: Request) -> str | None:
        return request.cookies.get(self._browser)
