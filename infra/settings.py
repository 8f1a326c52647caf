"""Settings, one small group for each concern, read from the environment once, in a process' main."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final


class BadSetting(ValueError):
    """A setting that is missing or cannot be used; the message says which and what to do."""


def _required(env: Mapping[str, str], name: str, what: str) -> str:
    value = env.get(name, "")
    if not value:
        raise BadSetting(f"{name} is not set: {what}")
    return value


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    try:
        return int(text) if text else default
    except ValueError as error:
        raise BadSetting(f"{name} is {text!r}: give a whole number") from error


def switched_on(env: Mapping[str, str], name: str) -> bool:
    """A setting that is `1` or `0`, and off where it is not given. Raises `BadSetting` for anything else."""
    text = env.get(name) or "0"
    if text not in ("0", "1"):
        raise BadSetting(f"{name} is {text!r}: give 1 for on or 0 for off")
    return text == "1"


def seconds(env: Mapping[str, str], name: str, default: float) -> float:
    """A setting of so many seconds. Raises `BadSetting` where it is no positive number."""
    text = env.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadSetting(f"{name} is {text!r}: give a number of seconds, more than 0")
    return value


SAMPLES: Final = (
    b"a demonstration secret, for one machine only, change it",
    b"Chorus demo key, not a secret!!!",
)
"""What stands in `compose.yaml` in place of secrets, and everybody knows."""
_LEAST_VARIETY: Final = 8
"""Different bytes, and different steps from one byte to the next: of 16 random bytes in whatever writing all but one in
ten million have as many; words that are repeated, and rows of keys, have fewer."""


def refuse_weak(env: Mapping[str, str], name: str, secret: bytes, how: str) -> None:
    """Accept a secret that somebody drew at random; in development (`CHORUS_DEVELOPMENT=1`) any.

    Nothing can tell a phrase from a random text. What is told apart is what people put there to get on: a character
    held down, a word again and again, a row of keys, our own samples.

    Args:
        how: a command that makes a good one.

    Raises:
        BadSetting: it could be guessed.
    """
    if switched_on(env, "CHORUS_DEVELOPMENT"):
        return
    if secret in SAMPLES:
        why = "is the sample of compose.yaml, which everybody knows"
    elif _is_plain(secret):
        why = "could be guessed: it is one pattern again and again"
    else:
        return
    raise BadSetting(f"{name} {why}; make one with `{how}`, or set CHORUS_DEVELOPMENT=1 where nobody else can connect")


def _is_plain(secret: bytes) -> bool:
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    is_repeated = secret in (secret + secret)[1:-1]
    return is_repeated or min(len(set(secret)), len(steps)) < _LEAST_VARIETY


@dataclass(frozen=True)
class KafkaSettings:
    bootstrap: str = "127.0.0.1:19092"
    """Host and port of one or more brokers, separated by commas."""
    replication: int = 1
    """Copies of each partition for topics that we create; 1 on one machine, 3 on a cluster."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "KafkaSettings":
        return cls(
            bootstrap=env.get("CHORUS_KAFKA", cls.bootstrap),
            replication=_number(env, "CHORUS_KAFKA_REPLICATION", cls.replication),
        )


@dataclass(frozen=True)
class PostgresSettings:
    url: str = "postgresql://chorus@127.0.0.1:15432/chorus"
    pool_size: int = 8
    """Connections per process at most: ten processes stay under PostgreSQL's default of 100."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "PostgresSettings":
        return cls(
            url=env.get("CHORUS_DATABASE_URL", cls.url),
            pool_size=_number(env, "CHORUS_DATABASE_POOL", cls.pool_size),
        )

    @classmethod
    def of_replica(cls, env: Mapping[str, str]) -> "PostgresSettings | None":
        """The replica that `CHORUS_DATABASE_READ_URL` names; None where it names none."""
        url = env.get("CHORUS_DATABASE_READ_URL")
        return replace(cls.from_env(env), url=url) if url else None


@dataclass(frozen=True)
class RedisSettings:
    url: str = "redis://127.0.0.1:16379/0"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "RedisSettings":
        return cls(url=env.get("CHORUS_REDIS_URL", cls.url))


@dataclass(frozen=True)
class SealingSettings:
    master_key: bytes = field(repr=False)
    """32 bytes that wrap every data key. Losing it loses every text; `chorus up` makes one, kept with the data."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "SealingSettings":
        text = _required(env, "CHORUS_MASTER_KEY", "give 32 random bytes in base64 (openssl rand -base64 32)")
        try:
            key = b64decode(text, validate=True)
        except ValueError as error:
            raise BadSetting("CHORUS_MASTER_KEY is no base64") from error
        if len(key) != 32:
            raise BadSetting(f"CHORUS_MASTER_KEY has {len(key)} bytes, not 32 (openssl rand -base64 32)")
        refuse_weak(env, "CHORUS_MASTER_KEY", key, "openssl rand -base64 32")
        return cls(key)


@dataclass(frozen=True)
class AgentSettings:
    """The platform's own agent: who answers where an agent's configuration names no server of its own."""

    url: str = "http://127.0.0.1:18000/v1"
    """Base URL of an OpenAI-compatible server, up to and including the version."""
    model: str = "smollm2"
    """The model's name there."""
    key: str | None = field(default=None, repr=False)
    """Bearer token for it, where it wants one."""
    private_addresses: bool = False
    """Whether people's own agents may have addresses inside (127.0.0.1, 10.0.0.0/8, …) and plain http. On one machine
    that is where their models run; elsewhere it lets them call what only our servers can reach."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "AgentSettings":
        return cls(
            url=env.get("CHORUS_AGENT_URL") or cls.url,
            model=env.get("CHORUS_AGENT_MODEL") or cls.model,
            key=env.get("CHORUS_AGENT_KEY") or None,
            private_addresses=switched_on(env, "CHORUS_AGENT_PRIVATE_ADDRESSES"),
        )


@dataclass(frozen=True)
class ProcessSettings:
    """How one process is run."""

    instance: str
    """The replica slot, such as `replies-0`: stable over restarts, so a restart costs no rebalance."""
    health_host: str = "127.0.0.1"
    """Address of the health port; in a container 0.0.0.0, where no other network reaches it."""
    health_port: int = 0
    """Port of /livez, /readyz and /metrics; 0 takes a free one."""
    log_dir: str | None = None
    """Folder for the rotated log file; standard error where none is given."""
    log_level: str = "info"

    @classmethod
    def from_env(cls, env: Mapping[str, str], role: str) -> "ProcessSettings":
        return cls(
            instance=env.get("CHORUS_INSTANCE") or f"{role}-0",
            health_host=env.get("CHORUS_HEALTH_HOST", cls.health_host),
            health_port=_number(env, "CHORUS_HEALTH_PORT", cls.health_port),
            log_dir=env.get("CHORUS_LOG_DIR") or None,
            log_level=env.get("CHORUS_LOG_LEVEL", cls.log_level),
        )
