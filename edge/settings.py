"""Settings of the gateway, read from the environment once, in its main."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.addresses import Proxies
from edge.limits import Rate
from infra.settings import BadSetting


@dataclass(frozen=True)
class SessionSettings:
    """What one connection may do, and how long it may be silent."""

    hello_within_s: float = 10.0
    """Seconds from the upgrade to `hello`; then the connection is closed."""
    ping_interval_s: float = 25.0
    """Seconds between pings. Proxies commonly drop what is silent for 30 or 60 s; two silent intervals close."""
    expiry_grace_s: float = 25.0
    """Seconds that an expired token keeps its connection, so that a slow refresh does not cost a reconnect."""
    reconnect_jitter_ms: int = 5_000
    """Milliseconds over which clients spread their reconnects after a crash."""
    commands: Rate = field(default_factory=lambda: Rate(per_s=100.0, burst=200))
    """Frames a client may send: far above what people do, far below what hurts others."""
    refusals: Rate = field(default_factory=lambda: Rate(per_s=10.0, burst=1_000))
    """Commands over that rate that are answered `rate_limited` before the connection is closed."""
    statuses: Rate = field(default_factory=lambda: Rate(per_s=1.0, burst=10))
    """Changes between online and away: as fast as a person can leave a window and come back."""


@dataclass(frozen=True)
class PresenceSettings:
    """How long people who went, and gateways that died, are believed to be there."""

    linger_s: float = 15.0
    """Seconds that someone stays present after their last window closed: a reload is no coming and going."""
    lease_s: float = 9.0
    """Seconds that a gateway counts as alive after it last said so; it does so three times as often. The people of a
    killed gateway are gone within twice this."""


@dataclass(frozen=True)
class GatewaySettings:
    """How the gateway listens, and what it holds at most."""

    host: str = "127.0.0.1"
    """Address to listen on; in a container 0.0.0.0."""
    port: int = 8081
    """The port that all gateways of a machine share: the kernel spreads connections over them."""
    extra_port: int | None = None
    """A port of this gateway's own, so that a client can choose its gateway; none by default."""
    origins: tuple[str, ...] = ("http://127.0.0.1:8080", "http://localhost:8080")
    """Origins of pages that may connect, compared exactly. Programs send none and are let in."""
    proxies: Proxies = field(default_factory=Proxies)
    """Those whose X-Forwarded-For is believed; none by default, for anybody can send such a header."""
    handshake_within_s: float = 10.0
    """Seconds from the connection to the end of the upgrade's headers; then the line is cut."""
    connections_per_address: int = 1_000
    """Open connections of one address in this process, loopback excepted: an office or a school behind one address, but
    not a machine that takes all there are. Beyond it the upgrade is answered 429."""
    connections_per_user: int = 100
    """Open connections of one person in this process: many windows, but not a leak."""
    connections: int = 20_000
    """Open connections in this process; beyond it the upgrade is answered 503. About 600 MB."""
    subscriptions: int = 1_000
    """Conversations that one connection may follow: more than a person can, with an end."""
    gather_bytes: int = 64 * 1024
    """Bytes waiting to be written to a client from which on its deltas are gathered instead of written."""
    slow_bytes: int = 1024 * 1024
    """Bytes waiting to be written to a client at which it is too slow and is closed."""
    commands_in_flight: int = 64
    """Commands of one connection that may wait at once; beyond it the connection is not read."""
    drain_s: float = 10.0
    """Seconds over which a stopping gateway spreads its goodbyes, so that clients do not come back all at once."""
    check_s: float = 30.0
    """Seconds between two comparisons of everything watched here with the newest position."""
    session: SessionSettings = field(default_factory=SessionSettings)
    presence: PresenceSettings = field(default_factory=PresenceSettings)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "GatewaySettings":
        """Read `CHORUS_WS_*` and `CHORUS_ORIGINS`.

        Raises:
            BadSetting: one of them cannot be used.
        """
        extra = env.get("CHORUS_WS_EXTRA_PORT")
        origins = env.get("CHORUS_ORIGINS")
        return cls(
            host=env.get("CHORUS_WS_HOST") or env.get("CHORUS_HTTP_HOST") or cls.host,
            port=_number(env, "CHORUS_WS_PORT", cls.port),
            extra_port=_number(env, "CHORUS_WS_EXTRA_PORT", 0) if extra else None,
            origins=cls.origins if origins is None else tuple(o.strip() for o in origins.split(",") if o.strip()),
            proxies=_proxies(env),
            handshake_within_s=_seconds(env, "CHORUS_WS_HANDSHAKE_S", cls.handshake_within_s),
            connections_per_address=_number(env, "CHORUS_WS_CONNECTIONS_PER_ADDRESS", cls.connections_per_address),
            connections_per_user=_number(env, "CHORUS_WS_CONNECTIONS_PER_USER", cls.connections_per_user),
            slow_bytes=_number(env, "CHORUS_WS_SLOW_BYTES", cls.slow_bytes),
            drain_s=_seconds(env, "CHORUS_DRAIN_S", cls.drain_s),
            check_s=_seconds(env, "CHORUS_WS_CHECK_S", cls.check_s),
            session=SessionSettings(
                hello_within_s=_seconds(env, "CHORUS_WS_HELLO_S", SessionSettings.hello_within_s),
                ping_interval_s=_seconds(env, "CHORUS_WS_PING_S", SessionSettings.ping_interval_s),
                expiry_grace_s=_seconds(env, "CHORUS_WS_GRACE_S", SessionSettings.expiry_grace_s),
            ),
            presence=PresenceSettings(
                linger_s=_seconds(env, "CHORUS_WS_LINGER_S", PresenceSettings.linger_s),
                lease_s=_seconds(env, "CHORUS_WS_LEASE_S", PresenceSettings.lease_s),
            ),
        )


def _proxies(env: Mapping[str, str]) -> Proxies:
    text = env.get("CHORUS_TRUSTED_PROXIES", "")
    try:
        return Proxies(filter(None, (address.strip() for address in text.split(","))))
    except ValueError as error:
        raise BadSetting(f"CHORUS_TRUSTED_PROXIES is {text!r}: {error}; give addresses or networks") from error


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        return float(text) if text else default
    except ValueError as error:
        raise BadSetting(f"{name} is {text!r}: give a number of seconds") from error


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    try:
        return int(text) if text else default
    except ValueError as error:
        raise BadSetting(f"{name} is {text!r}: give a whole number") from error
