"""Which providers are switched on, and where they are: the real ones, or such as tests run in their place."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from edge.oauth.facebook import Facebook
from edge.oauth.flow import Provider
from edge.oauth.google import Google
from edge.oauth.tiktok import TikTok
from infra.settings import BadSetting


@dataclass(frozen=True)
class Client:
    """What a provider knows us by, as its console shows it."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class OAuthSettings:
    """A provider is on where its client's id and secret are set."""

    google: Client | None = None
    google_issuer: str = "https://accounts.google.com"
    """Where its discovery document lies, and what its tokens are signed as."""
    facebook: Client | None = None
    facebook_url: str = "https://www.facebook.com/v23.0"
    facebook_graph_url: str = "https://graph.facebook.com/v23.0"
    """A version of the Graph works for two years."""
    tiktok: Client | None = None
    tiktok_url: str = "https://www.tiktok.com"
    tiktok_api_url: str = "https://open.tiktokapis.com"
    tiktok_pkce: bool = False
    """TikTok documents PKCE for its mobile and desktop clients alone; on where the console says so."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "OAuthSettings":
        """Read `CHORUS_GOOGLE_*`, `CHORUS_FACEBOOK_*` and `CHORUS_TIKTOK_*`.

        Raises:
            BadSetting: one of them cannot be used, or is missing beside another.
        """
        pkce = env.get("CHORUS_TIKTOK_PKCE") or "off"
        if pkce not in ("on", "off"):
            raise BadSetting(f"CHORUS_TIKTOK_PKCE is {pkce!r}: give on or off")
        return cls(
            google=_client(env, "CHORUS_GOOGLE_CLIENT_ID", "CHORUS_GOOGLE_CLIENT_SECRET"),
            google_issuer=_url(env, "CHORUS_GOOGLE_ISSUER", cls.google_issuer),
            facebook=_client(env, "CHORUS_FACEBOOK_CLIENT_ID", "CHORUS_FACEBOOK_CLIENT_SECRET"),
            facebook_url=_url(env, "CHORUS_FACEBOOK_URL", cls.facebook_url),
            facebook_graph_url=_url(env, "CHORUS_FACEBOOK_GRAPH_URL", cls.facebook_graph_url),
            tiktok=_client(env, "CHORUS_TIKTOK_CLIENT_KEY", "CHORUS_TIKTOK_CLIENT_SECRET"),
            tiktok_url=_url(env, "CHORUS_TIKTOK_URL", cls.tiktok_url),
            tiktok_api_url=_url(env, "CHORUS_TIKTOK_API_URL", cls.tiktok_api_url),
            tiktok_pkce=pkce == "on",
        )

    def providers(self, http: aiohttp.ClientSession) -> Mapping[str, Provider]:
        """Those that are on, by name."""
        found: list[Provider] = []
        if self.google:
            found.append(Google(http, self.google_issuer, self.google.id, self.google.secret))
        if self.facebook:
            site, graph = self.facebook_url, self.facebook_graph_url
            found.append(Facebook(http, site, graph, self.facebook.id, self.facebook.secret))
        if self.tiktok:
            site, api = self.tiktok_url, self.tiktok_api_url
            found.append(TikTok(http, site, api, self.tiktok.id, self.tiktok.secret, pkce=self.tiktok_pkce))
        return {provider.name: provider for provider in found}


def _client(env: Mapping[str, str], id_name: str, secret_name: str) -> Client | None:
    id, secret = env.get(id_name, ""), env.get(secret_name, "")
    if bool(id) != bool(secret):
        raise BadSetting(f"give {id_name} and {secret_name} together, or neither")
    return Client(id, secret) if id else None


def _url(env: Mapping[str, str], name: str, default: str) -> str:
    url = (env.get(name) or default).rstrip("/")
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise BadSetting(f"{name} is {url!r}: give an address that begins with https://")
    return url
