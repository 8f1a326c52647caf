"""Whether money adds up when all is quiet again: each run that ended is charged once, and nothing is held any more."""

from typing import TYPE_CHECKING

import asyncpg

from infra.kafka import topic_ids
from infra.operator.books import wrong
from infra.settings import KafkaSettings
from schemas.topics import USAGE
from tests.client import Person

if TYPE_CHECKING:
    from tests.faults.books import Log

CREDIT = 10**12
PRICE = {"input_micros": 1_000_000, "output_micros": 10_000_000}


async def pays(person: Person, agent_id: str) -> None:
    """This person's project has credit, and its agent a price."""
    await person.call("POST", f"/v1/projects/{person.project_id}/credits", {"amount_micros": CREDIT})
    await person.call("PUT", f"/v1/agents/{agent_id}/price", {"price": PRICE})


async def check(kafka: KafkaSettings, database_url: str, projects: set[str], log: "Log") -> list[str]:
    """What is wrong with the money of these projects, each as a sentence.

    Args:
        log: what has happened in all of their conversations since the projects began.
    """
    ended = {run_id for run_id, run in log.runs.items() if run.ends}
    topic_id = (await topic_ids(kafka, [USAGE.topic]))[USAGE.topic]
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT run_id::text FROM usage_records WHERE billable AND project_id = ANY($1::uuid[])", list(projects)
        )
        held = await connection.fetchval(
            "SELECT count(*) FROM reservations WHERE settled_at IS NULL AND project_id = ANY($1::uuid[])",
            list(projects),
        )
        found = [d.what for project in projects for d in await wrong(connection, kafka, topic_id, project)]
    finally:
        await connection.close()
    settled = [row["run_id"] for row in rows]
    found += [f"run {run_id} ended and is not settled" for run_id in ended - set(settled)]
    found += [f"run {run_id} is settled and has not ended" for run_id in set(settled) - ended]
    if len(settled) > len(set(settled)):
        found.append("a run is settled twice")
    if held:
        found.append(f"money is held for {held} answers")
    return found
