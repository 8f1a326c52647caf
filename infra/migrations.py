"""The database's schema: is it the newest, and make it so."""

import asyncio
import io

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from infra.postgres import MIGRATIONS
from infra.settings import PostgresSettings


def _config(settings: PostgresSettings) -> Config:
    config = Config(output_buffer=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = settings.url
    return config


class NotUnicode(Exception):
    """The database cannot keep what people write, and does not search in it."""


def migrate(settings: PostgresSettings) -> None:
    """Bring the schema to the newest version; nothing happens where it is.

    Raises:
        NotUnicode: the database's encoding is not UTF-8. It says what to do.
    """
    _check_encoding(settings)
    command.upgrade(_config(settings), "head")


def remake(settings: PostgresSettings, version: str) -> None:
    """Make the tables anew as they were at a version, in a database whose tables hold nothing that is needed.

    Raises:
        alembic.util.exc.CommandError: this code does not know the version: it is older.
        NotUnicode: as `migrate`.
    """
    _check_encoding(settings)
    ScriptDirectory(str(MIGRATIONS)).get_revision(version)  # before anything is undone
    if current(settings) is not None:
        command.downgrade(_config(settings), "base")
    command.upgrade(_config(settings), version)


def current(settings: PostgresSettings) -> str | None:
    """The version that the database is at; None where nothing was ever migrated."""

    try:
        return _asked(settings, "SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None


def _check_encoding(settings: PostgresSettings) -> None:
    if (encoding := _asked(settings, "SHOW server_encoding")) != "UTF8":
        raise NotUnicode(
            f"The database's encoding is {encoding}, and Chorus needs UTF8. Make it anew: "
            "CREATE DATABASE chorus ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0"
        )


def _asked(settings: PostgresSettings, question: str) -> str | None:
    async def ask() -> str | None:
        connection = await asyncpg.connect(settings.url, timeout=3)
        try:
            found: str | None = await connection.fetchval(question)
            return found
        finally:
            await connection.close()

    return asyncio.run(ask())


def newest() -> str | None:
    """The version that this code was written for."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()
