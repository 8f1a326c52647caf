"""A replica takes reads off the primary, and nobody can tell: what was written is read at once, on any process, whether
the replica keeps up, falls behind or dies."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import aiohttp
import pytest

from tests.accounts.standby import Standby
from tests.running import Running, Stack, until
from tests.stack.rest_api import Api, Someone, opened, start_api


class Read:
    """A REST process that may read from the replica."""

    def __init__(self, running: Running, url: str) -> None:
        self.running = running
        self.url = url

    async def answered(self) -> dict[str, float]:
        """How many reads, by who answered them."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.running.health}/metrics") as metrics:
            lines = (await metrics.text()).splitlines()
        counted = (line for line in lines if line.startswith("chorus_edge_replica_reads_total{"))
        return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in counted}


@pytest.fixture(scope="module")
def standby(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standby]:
    folder = tmp_path_factory.mktemp("standby")
    made = Standby(stack, folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def readers(stack: Stack, standby: Standby) -> Iterator[list[Read]]:
    """Two processes."""
    found = [Read(*start_api(stack, CHORUS_DATABASE_READ_URL=standby.url)) for _ in range(2)]
    yield found
    for read in found:
        read.running.kill()
        read.running.process.wait()


@pytest.fixture
async def both(api: Api, readers: list[Read]) -> AsyncIterator[list[Api]]:
    async with opened(api.running, readers[0].url) as one, opened(api.running, readers[1].url) as other:
        yield [one, other]


async def members(process: Api, person: Someone) -> set[str]:
    """Whom the project has, as this process reads it."""
    there = Someone(process, person.email, person.signed_in)
    answer = await there.call("GET", f"/v1/projects/{await person.project_id()}/members", limit=200)
    assert answer.status == 200, answer
    return {member["user_id"] for member in answer.json["data"]}


async def joined(api: Api, person: Someone) -> str:
    """Somebody new in the project: their id."""
    friend = await api.sign_up()
    body = {"email": friend.email, "role": "viewer"}
    assert (await person.call("POST", f"/v1/projects/{await person.project_id()}/members", body)).status == 201
    return friend.id


async def is_answered_by_the_replica(read: Read, process: Api, person: Someone) -> bool:
    before = (await read.answered()).get("replica", 0.0)
    await members(process, person)
    return (await read.answered()).get("replica", 0.0) > before


async def test_reads_go_to_the_replica(api: Api, both: list[Api], readers: list[Read]) -> None:
    """What only reads is answered by the replica, on every process; what writes, and who one is, by the primary."""
    ada = await api.sign_up()
    for process, read in zip(both, readers, strict=True):
        await until("it is asked", lambda read=read, process=process: is_answered_by_the_replica(read, process, ada))
    before = (await readers[0].answered())["replica"]
    there = Someone(both[0], ada.email, ada.signed_in)
    project = f"/v1/projects/{await ada.project_id()}"
    for path in (f"{project}/conversations", f"{project}/members", f"{project}/audit", "/v1/search?q=anything"):
        assert (await there.call("GET", path)).status == 200
    assert (await there.call("PATCH", project, {"name": "Other"})).status == 200
    assert (await readers[0].answered())["replica"] == before + 4


async def test_what_was_written_is_read(api: Api, both: list[Api], standby: Standby, readers: list[Read]) -> None:
    """At once and on every process, again and again; also while the replica shows nothing new: then the primary is
    asked."""
    ada = await api.sign_up()
    present = await members(both[0], ada)
    for _ in range(10):
        present.add(await joined(api, ada))
        assert await asyncio.gather(*(members(process, ada) for process in both)) == [present, present]
    await until("it is asked", lambda: is_answered_by_the_replica(readers[0], both[0], ada))
    await standby.stand_still(True)
    try:
        for _ in range(3):
            present.add(await joined(api, ada))
            assert await asyncio.gather(*(members(process, ada) for process in both)) == [present, present]
        assert (await readers[0].answered())["primary_as_behind"] > 0
    finally:
        await standby.stand_still(False)
    await until("it is asked again", lambda: is_answered_by_the_replica(readers[0], both[0], ada))
    assert await members(both[0], ada) == present


async def test_a_replica_that_dies_is_not_missed(
    api: Api, both: list[Api], standby: Standby, readers: list[Read]
) -> None:
    """No read fails; once it is back it answers again."""
    ada = await api.sign_up()
    await until("it is asked", lambda: is_answered_by_the_replica(readers[0], both[0], ada))
    await asyncio.to_thread(standby.kill)
    present = await members(both[0], ada)
    for _ in range(5):
        present.add(await joined(api, ada))
        assert await members(both[0], ada) == present
    assert (await readers[0].answered())["primary_as_away"] > 0
    standby.start()
    await asyncio.to_thread(standby.ready)
    await until("it is asked again", lambda: is_answered_by_the_replica(readers[0], both[0], ada))
    assert await members(both[0], ada) == present


async def test_who_is_removed_reads_nothing(api: Api, both: list[Api], standby: Standby, readers: list[Read]) -> None:
    """Membership is never asked of a replica, not even of one that has not heard of the removal."""
    ada, bob = await api.sign_up(), await api.sign_up()
    project = f"/v1/projects/{await ada.project_id()}"
    assert (await ada.call("POST", f"{project}/members", {"email": bob.email, "role": "viewer"})).status == 201
    there = Someone(both[1], bob.email, bob.signed_in)
    assert (await there.call("GET", f"{project}/members")).status == 200
    await standby.stand_still(True)
    try:
        assert (await ada.call("DELETE", f"{project}/members/{bob.id}")).status == 204

        async def is_out() -> bool:
            return (await there.call("GET", f"{project}/members")).status == 404

        await until("he is out", is_out)
        found = await there.call("GET", "/v1/search", q=f"x{uuid4().hex}")
        assert found.json["data"] == []
    finally:
        await standby.stand_still(False)


@pytest.mark.slow
async def test_what_is_no_replica_is_not_read(api: Api, stack: Stack) -> None:
    """An address that leads to a primary, as after a failover that nobody followed, is left alone."""
    read = Read(*start_api(stack, CHORUS_DATABASE_READ_URL=stack.database_url))
    try:
        async with opened(api.running, read.url) as process:
            ada = await api.sign_up()
            assert await members(process, ada) == {ada.id}
            assert "replica" not in await read.answered()
    finally:
        await read.running.stop()
