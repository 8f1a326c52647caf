"""The REST process: routes, the page, and the clients that they work with."""

import argparse
import asyncio
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog
import uvicorn
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from fastapi import APIRouter, FastAPI

from edge import erasure, problems
from edge.access import Access
from edge.changes import Changes
from edge.commands import Commands
from edge.decisions import Decisions
from edge.errors import Refused
from edge.oauth import asking
from edge.oauth.settings import OAuthSettings
from edge.passwords import Passwords
from edge.replica import Replica
from edge.rest import (
    agents,
    audit,
    auth,
    budgets,
    conditional,
    config,
    conversations,
    messages,
    money,
    notifications,
    projects,
    repeats,
    runs,
    search,
    usage,
    users,
    webhooks,
)
from edge.rest.admission import Admission
from edge.rest.cookies import Cookies
from edge.rest.door import Door
from edge.rest.limits import Limits
from edge.rest.line import Line
from edge.rest.openapi import document
from edge.rest.page import WebPage
from edge.rest.services import Log, Services
from edge.rest.settings import ROUTES, RestSettings
from edge.revocations import CACHE_WITHIN_S, Revocations
from edge.tokens import Tokens, TokenSettings
from infra import postgres, redis
from infra.kafka import Publisher, epoch_of, topic_ids
from infra.keyring import Keyring
from infra.mail import Mail, MailSettings
from infra.patience import patiently
from infra.process import Process, run
from infra.secrets import Secrets
from infra.settings import (
    BadSetting,
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RedisSettings,
    SealingSettings,
)
from infra.version import VERSION
from schemas.topics import CONVERSATION_EVENTS

log = structlog.get_logger(__name__)

ROUTERS: Final[Mapping[str, APIRouter]] = {
    "auth": auth.router,
    "users": users.router,
    "projects": projects.router,
    "conversations": conversations.router,
    "messages": messages.router,
    "runs": runs.router,
    "agents": agents.router,
    "money": money.router,
    "usage": usage.router,
    "budgets": budgets.router,
    "search": search.router,
    "audit": audit.router,
    "notifications": notifications.router,
    "webhooks": webhooks.router,
    "config": config.router,
}

_DRAIN_S: Final = 5
"""Seconds that a stopping process gives the requests under way; event streams end by themselves before."""
_BACKLOG: Final = 2048
_LOOK_S: Final = 2.0
"""Seconds between two looks at PostgreSQL for readiness."""


def application(services: Services) -> Door:
    """The ASGI application, of the routes that the settings choose."""
    settings = services.settings
    app = FastAPI(
        title="Chorus",
        version=VERSION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    problems.install(app)
    conditional.install(app)
    audit.install(app)
    for name, router in ROUTERS.items():
        if name in settings.routes:
            app.include_router(router)
    if "page" in settings.routes:
        # What no route is for; as a mount it would also take the routes' own paths with other methods.
        app.router.default = WebPage(settings.web, settings.ws_url)
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(document(app, VERSION))
        return described

    app.openapi = openapi  # type: ignore[method-assign]
    return Door(app, settings.origins, Admission(services.tokens, services.revocations, services.limits).admit)


async def serve(process: Process, routes: str | None) -> None:
    """Serve until the process is to stop.

    Args:
        routes: what to serve, separated by commas; else the settings say.

    Raises:
        BadSetting: a setting is missing, cannot be used, or names a port that is taken.
    """
    env = os.environ | ({} if routes is None else {"CHORUS_ROUTES": routes})
    settings, tokens = RestSettings.from_env(env), TokenSettings.from_env(env)
    mail = Mail(MailSettings.from_env(env, public_url=settings.public_url))
    oauth = OAuthSettings.from_env(env)
    listening = _listen(settings)
    pool = await postgres.connect(PostgresSettings.from_env(env))
    replicas = PostgresSettings.of_replica(env)
    reading = None if replicas is None else await postgres.connect(replicas)
    cache = redis.connect(RedisSettings.from_env(env))
    quick = redis.connect(RedisSettings.from_env(env), timeout_s=CACHE_WITHIN_S)
    reach = redis.Reach()
    http = asking.session()
    services = Services(
        settings=settings,
        pool=pool,
        redis=cache,
        keyring=Keyring(pool, SealingSettings.from_env(env)),
        secrets=Secrets(SealingSettings.from_env(env)),
        access=Access(pool),
        tokens=Tokens(tokens),
        revocations=Revocations(pool, quick, reach),
        refresh_secret=tokens.secret,
        passwords=Passwords(),
        mail=mail,
        providers=oauth.providers(http),
        cookies=Cookies(settings.public_url),
        limits=Limits(settings, quick, reach),
        stopping=process.stopping,
        replica=None if reading is None else Replica(pool, reading),
    )
    kafka = KafkaSettings.from_env(env)
    publisher = Publisher(kafka, "/edge/api")
    decisions = Decisions(cache)
    health = _Health(services)
    process.not_ready = health.not_ready
    server = _Server(
        uvicorn.Config(
            application(services),
            http=Line,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=_DRAIN_S,
            backlog=_BACKLOG,
        )
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(work)
                for work in (
                    _reach_kafka(services, kafka, publisher, decisions),
                    Changes(kafka, services.access).run(),
                    decisions.run(),
                    erasure.run(pool, cache),
                    repeats.run(pool),
                    services.revocations.run(),
                    mail.run(),
                    health.watch(),
                )
            ]
            serving = tasks.create_task(server.serve(sockets=[listening]))
            await process.stopping.wait()
            server.should_exit = True
            await serving
            for task in background:
                task.cancel()
    finally:
        services.passwords.close()
        await http.close()
        pool.terminate()
        if reading is not None:
            reading.terminate()
        await cache.aclose()
        await quick.aclose()
        try:
            async with asyncio.timeout(_DRAIN_S):
                await publisher.stop()
        except TimeoutError:
            log.warning("left without Kafka's last word")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process' own."""
        yield


def _listen(settings: RestSettings) -> socket.socket:
    """Bound here, because uvicorn exits by itself where it cannot."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BadSetting(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "set CHORUS_HTTP_HOST and CHORUS_HTTP_PORT to another address"
        ) from error


async def _reach_kafka(services: Services, kafka: KafkaSettings, publisher: Publisher, decisions: Decisions) -> None:
    """Everything that is no command is served meanwhile."""
    await patiently("Kafka", (KafkaError,), publisher.start)
    topic = CONVERSATION_EVENTS.topic
    ids = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [topic]))
    epoch = epoch_of(ids[topic])
    services.log = Log(
        commands=Commands(
            access=services.access,
            keyring=services.keyring,
            publisher=publisher,
            decisions=decisions,
            redis=services.redis,
            pool=services.pool,
            epoch=epoch,
        ),
        epoch=epoch,
    )


class _Health:
    """Whether this process can do its work."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = False

    def not_ready(self) -> str | None:
        if not self._database:
            return "PostgreSQL is away"
        return "Kafka has not been reached yet" if self._services.log is None else None

    async def watch(self) -> None:
        while True:
            try:
                async with self._services.database() as connection:
                    await connection.execute("SELECT 1")
                self._database = True
            except Refused:
                self._database = False
            await asyncio.sleep(_LOOK_S)


def main(arguments: Sequence[str]) -> None:
    """`python -m edge api [--routes auth,users,…]`"""
    parser = argparse.ArgumentParser(prog="chorus run api", description="Serve REST and the page.")
    parser.add_argument("--routes", help=f"what to serve, separated by commas: {', '.join(ROUTES)} (all)")
    routes = parser.parse_args(arguments).routes
    run("api", ProcessSettings.from_env(os.environ, "api"), lambda process: serve(process, routes))
