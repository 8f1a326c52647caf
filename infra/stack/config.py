"""What one local stack is made of: its folder, its ports, and the environment its processes get."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infra.settings import BadSetting


@dataclass(frozen=True)
class StackConfig:
    """Where a stack lives and listens. Every address is on the loopback interface.

    Attributes:
        data: the folder of everything that outlives a restart, and of the logs.
        ws_extra_port: the first gateway's own port beside the shared one, the second's is the next; None for none.
        agent_url: an OpenAI-compatible server that answers instead of the local model.
        agent_model: the model's name there.
    """

    data: Path
    http_port: int = 8080
    ws_port: int = 8081
    kafka_port: int = 19092
    postgres_port: int = 15432
    redis_port: int = 16379
    model_port: int = 18000
    ws_extra_port: int | None = None
    gateways: int = 1
    agent_url: str | None = None
    agent_model: str | None = None

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str],
        data: Path,
        agent_url: str | None = None,
        agent_model: str | None = None,
        gateways: int | None = None,
    ) -> "StackConfig":
        """The stack that the settings ask for; options of the command line come before the environment.

        Raises:
            BadSetting: one of them cannot be used.
        """
        return cls(
            data=data,
            http_port=_port(env, "CHORUS_HTTP_PORT", cls.http_port),
            ws_port=_port(env, "CHORUS_WS_PORT", cls.ws_port),
            kafka_port=_port_of_address(env, "CHORUS_KAFKA", cls.kafka_port),
            postgres_port=_port_of_address(env, "CHORUS_DATABASE_URL", cls.postgres_port),
            redis_port=_port_of_address(env, "CHORUS_REDIS_URL", cls.redis_port),
            model_port=_port(env, "CHORUS_MODEL_PORT", cls.model_port),
            ws_extra_port=_port(env, "CHORUS_WS_EXTRA_PORT", 8101) if gateways else None,
            gateways=gateways or 1,
            agent_url=agent_url or env.get("CHORUS_AGENT_URL") or None,
            agent_model=agent_model or env.get("CHORUS_AGENT_MODEL") or None,
        )

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.ws_port}/v1/ws"

    def listening(self) -> dict[str, tuple[int, str]]:
        """Each port that must be free: what listens there, the port, and the setting that moves it."""
        ports = {
            "Kafka": (self.kafka_port, "CHORUS_KAFKA=127.0.0.1:PORT"),
            "PostgreSQL": (
                self.postgres_port,
                "CHORUS_DATABASE_URL=postgresql://chorus@127.0.0.1:PORT/chorus",
            ),
            "Redis": (self.redis_port, "CHORUS_REDIS_URL=redis://127.0.0.1:PORT/0"),
            "the web page": (self.http_port, "CHORUS_HTTP_PORT=PORT"),
            "the WebSocket": (self.ws_port, "CHORUS_WS_PORT=PORT"),
        }
        if self.agent_url is None:
            ports["the language model"] = (self.model_port, "CHORUS_MODEL_PORT=PORT")
        if self.ws_extra_port is not None:
            for n in range(self.gateways):
                ports[f"gateway {n + 1}"] = (self.ws_extra_port + n, "CHORUS_WS_EXTRA_PORT=PORT")
        return ports

    def environment(self) -> dict[str, str]:
        """The settings that every process of this stack gets, secrets aside."""
        own = {
            "CHORUS_KAFKA": f"127.0.0.1:{self.kafka_port}",
            "CHORUS_DATABASE_URL": f"postgresql://chorus@127.0.0.1:{self.postgres_port}/chorus",
            "CHORUS_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "CHORUS_HTTP_HOST": "127.0.0.1",
            "CHORUS_HTTP_PORT": str(self.http_port),
            "CHORUS_WS_PORT": str(self.ws_port),
            "CHORUS_WS_URL": self.ws_url,
            "CHORUS_AGENT_URL": self.agent_url or f"http://127.0.0.1:{self.model_port}/v1",
            "CHORUS_AGENT_MODEL": self.agent_model or "smollm2",
            "CHORUS_ORIGINS": f"{self.url},http://localhost:{self.http_port}",
            "CHORUS_LOG_DIR": str(self.logs),
        }
        # People's models run on this machine, too.
        own["CHORUS_AGENT_PRIVATE_ADDRESSES"] = os.environ.get("CHORUS_AGENT_PRIVATE_ADDRESSES") or "1"
        # An orderly end of everything takes at most 20 s, so answers get less than the 15 s they have elsewhere.
        own["CHORUS_REPLIES_DRAIN_S"] = os.environ.get("CHORUS_REPLIES_DRAIN_S") or "9"
        # The caller's environment goes along (PATH, proxies, log level), but not what belongs to one process.
        kept = {k: v for k, v in os.environ.items() if k not in ("CHORUS_WS_EXTRA_PORT", "CHORUS_INSTANCE")}
        return kept | own


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise BadSetting(f"{name} is {text!r}: give a port, a number from 1 to 65535")
    return int(text)


def _port_of_address(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host not in ("127.0.0.1", "localhost") or not port:
        raise BadSetting(f"{name} is {text!r}: `chorus up` starts its own, so give an address as 127.0.0.1 with a port")
    return port
