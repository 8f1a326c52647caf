"""What commands about archives and backups share: where everything is, and how they say what they cannot do."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import click
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from redis.exceptions import RedisError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infra.archives import LogGone
from infra.backups import NoSuchBackup
from infra.dumps import DamagedDump
from infra.objects import Objects, ObjectsError, ObjectsSettings
from infra.operator.local import environment
from infra.operator.shown import CannotBeDone, console
from infra.postgres import AWAY
from infra.restoring import CannotRestore
from infra.segments import Damaged, Hole
from infra.settings import BadSetting, KafkaSettings, PostgresSettings, RedisSettings, SealingSettings

T = TypeVar("T")


class Refused(RuntimeError):
    """It cannot be done as things are; the message says what to do."""


_SAID = (Refused, CannotRestore, BadSetting, ObjectsError, NoSuchBackup, LogGone, Hole, Damaged, DamagedDump)
"""What says what to do in its own words."""


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes:
        master_key: None where it is not set: a job that backs up need not know it.
    """

    kafka: KafkaSettings
    postgres: PostgresSettings
    redis: RedisSettings
    objects: Objects
    master_key: bytes | None

    @classmethod
    def at(cls, data: Path, objects: str | None) -> "Places":
        """What the environment and the data folder say; `objects` comes before them.

        Raises:
            CannotBeDone: a setting cannot be used.
        """
        try:
            env = environment(data.resolve())
            place = ObjectsSettings(objects) if objects else ObjectsSettings.from_env(env, data.resolve())
            return cls(
                KafkaSettings.from_env(env),
                PostgresSettings.from_env(env),
                RedisSettings.from_env(env),
                Objects(place),
                SealingSettings.from_env(env).master_key if env.get("CHORUS_MASTER_KEY") else None,
            )
        except BadSetting as error:
            raise CannotBeDone(str(error)) from error

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what a command is about; what may go wrong is said in a sentence.

        Raises:
            CannotBeDone: it went wrong.
        """
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters comes as an exception
        try:
            return asyncio.run(work)
        except (
            Refused,
            CannotRestore,
            BadSetting,
            ObjectsError,
            NoSuchBackup,
            LogGone,
            Hole,
            Damaged,
            DamagedDump,
        ) as error:
            raise CannotBeDone(str(error)) from error
        except KafkaException as error:
            raise CannotBeDone(f"Kafka at {self.kafka.bootstrap}: {error.args[0].str()}") from error
        except KafkaError as error:
            raise CannotBeDone(f"Kafka at {self.kafka.bootstrap}: {error}") from error
        except (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            raise CannotBeDone(f"PostgreSQL refuses ({error}): look at CHORUS_DATABASE_URL.") from error
        except RedisError as error:
            raise CannotBeDone(f"Redis does not answer: {error}") from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        except AWAY as error:
            raise CannotBeDone(f"The database does not answer: {error}") from error


async def database(settings: PostgresSettings) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection for long work; raises one of `infra.postgres.AWAY`."""
    return await asyncpg.connect(settings.url, timeout=5)


def progress() -> Progress:
    """Bars on a terminal's standard error; nothing where nobody looks."""
    where = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
        console=where,
        disable=not where.is_terminal,
        transient=True,
    )
