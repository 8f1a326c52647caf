"""Fixtures of those who talk to a running Chorus: a person, their connection, a REST session."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.client import Person, Socket, sign_up, socket
from tests.running import Chorus


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def person(chorus: Chorus, http: aiohttp.ClientSession) -> Person:
    """Someone who has just signed up."""
    return await sign_up(http, chorus.url)


@pytest.fixture
def ws_url(chorus: Chorus) -> str:
    """The port that all gateways share: each connection may land on another one."""
    return chorus.ws_url


@pytest.fixture
async def online(person: Person, ws_url: str) -> AsyncIterator[Socket]:
    """A connection of `person`'s that has said hello."""
    async with socket(ws_url, person.access_token) as connection:
        yield connection
