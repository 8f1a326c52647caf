"""Settings of the REST process alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from infra.mail import is_loopback
from infra.settings import AgentSettings, BadSetting, switched_on
from infra.webhooks import WebhookSettings

ROUTES: Final = (
    "auth",
    "users",
    "projects",
    "conversations",
    "messages",
    "runs",
    "agents",
    "money",
    "usage",
    "budgets",
    "search",
    "audit",
    "notifications",
    "webhooks",
    "config",
    "page",
)
"""What one process may serve; all of it where nothing is chosen."""


@dataclass(frozen=True)
class RestSettings:
    host: str = "127.0.0.1"
    port: int = 8080
    ws_url: str = "ws://127.0.0.1:8081/v1/ws"
    """Where clients find the WebSocket."""
    public_url: str = "http://127.0.0.1:8080"
    """Where people find the page, without a slash at its end: mailed links and ways back from other sites start with
    it. By default this machine, at `port`."""
    origins: frozenset[str] = frozenset()
    """Origins of other sites whose pages may call us; ours needs none."""
    routes: frozenset[str] = frozenset(ROUTES)
    trusted_proxies: str = ""
    """Addresses of the proxies whose X-Forwarded-For and -Proto are believed, separated by commas; none by default,
    for anybody can send such a header."""
    requests_per_minute: int = 6_000
    """Of one person, as many at once, over all processes, as all of these: 100 a second, what a socket takes. A page
    makes ten when it opens; a program that copies everything is slowed down before it slows others."""
    anonymous_requests_per_minute: int = 3_000
    """From one address, without a person's token: a thousand people behind it open their pages (three each) at once."""
    sign_ups_per_minute: int = 300
    """From one address, as many at once: a class room behind one address signs up, a script is slowed down."""
    failed_sign_ins_per_minute: int = 30
    """From one address, as many at once. A sign-in that succeeds does not count."""
    failed_sign_ins_per_account_per_hour: int = 100
    """For one e-mail address, whoever has it or nobody, from wherever, as many at once: a thousand machines guess no
    faster. More than people mistype; from an address where they signed in of late it does not bind them."""
    mail_requests_per_minute: int = 20
    """Mails that one address may ask for, as many at once; to one person go five of a kind in an hour."""
    shared_reads_per_minute: int = 120
    """Pages of shared conversations for one address, as many at once: a reader scrolls, and nobody tries links."""
    private_agents: bool = False
    """Whether people's own agents may have addresses inside; `infra.settings.AgentSettings` says what that means."""
    private_webhooks: bool = False
    """Whether webhooks may have addresses inside; `infra.webhooks.WebhookSettings` says what that means."""
    treasurers: frozenset[str] = frozenset()
    """Ids of the people who alone put in credit, take back and set prices, in every project. None by default, and then
    each project's owners and admins do: right where the installation is one team's, whose money it is. Where people
    pay for credit, somebody has to be named here."""
    web: Path = Path(__file__).parent.parent / "web" / "dist"
    """Folder of the built page; there is a clear answer where it is missing."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "RestSettings":
        routes = frozenset(filter(None, (name.strip() for name in env.get("CHORUS_ROUTES", "").split(","))))
        if unknown := routes - set(ROUTES):
            raise BadSetting(f"CHORUS_ROUTES has {', '.join(sorted(unknown))}; there are {', '.join(ROUTES)}")
        port = _count(env, "CHORUS_HTTP_PORT", cls.port)
        public_url = _public_url(env.get("CHORUS_PUBLIC_URL") or f"http://127.0.0.1:{port}")
        if switched_on(env, "CHORUS_DEVELOPMENT") and not is_loopback(urlsplit(public_url).hostname or ""):
            raise BadSetting(
                f"CHORUS_DEVELOPMENT is 1, but the page is at {public_url}: weak secrets are for one machine only; "
                "set it to 0"
            )
        return cls(
            host=env.get("CHORUS_HTTP_HOST") or cls.host,
            port=port,
            public_url=public_url,
            ws_url=env.get("CHORUS_WS_URL") or cls.ws_url,
            origins=frozenset(filter(None, (name.strip() for name in env.get("CHORUS_ORIGINS", "").split(",")))),
            routes=routes or cls.routes,
            trusted_proxies=env.get("CHORUS_TRUSTED_PROXIES", ""),
            private_agents=AgentSettings.from_env(env).private_addresses,
            private_webhooks=WebhookSettings.from_env(env).private_addresses,
            treasurers=_people(env, "CHORUS_TREASURERS"),
            web=Path(env.get("CHORUS_WEB") or cls.web),
            requests_per_minute=_count(env, "CHORUS_REQUESTS_PER_MINUTE", cls.requests_per_minute),
            anonymous_requests_per_minute=_count(
                env, "CHORUS_ANONYMOUS_REQUESTS_PER_MINUTE", cls.anonymous_requests_per_minute
            ),
            sign_ups_per_minute=_count(env, "CHORUS_SIGN_UPS_PER_MINUTE", cls.sign_ups_per_minute),
            mail_requests_per_minute=_count(env, "CHORUS_MAIL_REQUESTS_PER_MINUTE", cls.mail_requests_per_minute),
            shared_reads_per_minute=_count(env, "CHORUS_SHARED_READS_PER_MINUTE", cls.shared_reads_per_minute),
            failed_sign_ins_per_minute=_count(env, "CHORUS_FAILED_SIGN_INS_PER_MINUTE", cls.failed_sign_ins_per_minute),
            failed_sign_ins_per_account_per_hour=_count(
                env, "CHORUS_FAILED_SIGN_INS_PER_ACCOUNT_PER_HOUR", cls.failed_sign_ins_per_account_per_hour
            ),
        )


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BadSetting(f"CHORUS_PUBLIC_URL is {text!r}: give the page's address, such as https://chorus.example.org")
    return f"{parts.scheme}://{parts.netloc}"


def _people(env: Mapping[str, str], name: str) -> frozenset[str]:
    try:
        return frozenset(str(UUID(id.strip())) for id in env.get(name, "").split(",") if id.strip())
    except ValueError:
        raise BadSetting(f"{name} is {env[name]!r}: give ids of people, separated by commas") from None


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or int(text) == 0:
        raise BadSetting(f"{name} is {text!r}: give a whole number above 0")
    return int(text)
