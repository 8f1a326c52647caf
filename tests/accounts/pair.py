"""A second REST process beside `api`, and the processors that a change of a conversation goes through."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.running import Stack
from tests.stack.rest_api import Api, Someone, opened, start_api

OTHER_SITE = "https://elsewhere.example"


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[str]:
    """The address of another process, which pages of another site may call."""
    running, url = start_api(stack, CHORUS_ORIGINS=OTHER_SITE)
    yield url
    running.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def processors(stack: Stack) -> Iterator[None]:
    started = [stack.start("streams", "conversations"), stack.start("streams", "history")]
    for process in started:
        asyncio.run(process.ready())
    yield
    for process in started:
        process.kill()
        process.process.wait()


@pytest.fixture
async def elsewhere(api: Api, second: str) -> AsyncIterator[Api]:
    async with opened(api.running, second) as found:
        yield found


def on(process: Api, person: Someone) -> Someone:
    """The same person, at another process."""
    return Someone(process, person.email, person.signed_in)
