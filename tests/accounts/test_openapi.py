"""The OpenAPI document is true: what it allows is taken, what it forbids is refused, and every answer is as it says.

Schemathesis draws requests from the document, good ones and bad ones, and holds what is answered against it.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import hypothesis
import pytest
import schemathesis
import schemathesis.specs.openapi.checks  # registers what follows from a document
from schemathesis import APIOperation, Case
from schemathesis.checks import CHECKS, CheckFunction

from tests.client import Person, Refusal, sign_up
from tests.running import Chorus

NOT_CHECKED: Final = {
    "ignored_auth",  # test_nobody_in_particular does, for every operation
    "use_after_free",
    "ensure_resource_availability",
}
CHECKED: Final[list[CheckFunction]] = [check for check in CHECKS.get_all() if check.__name__ not in NOT_CHECKED]
NOT_ALWAYS_TAKEN: Final = {
    "cursor", "after", "before", "q", "confirm", "token", "default_agent_id", "new_password", "next",
    "Idempotency-Key", "If-Match", "If-None-Match", "url", "up_to", "client_message_id", "data", "from", "to",
}  # fmt: skip
"""What the document cannot say the good values of: places in a list, searches, which need a word, names, secrets, ways
back on this site, what was sent or read before (ids of messages, too), addresses that anybody may call, notifications,
lists whose entries must differ, times.
"""
PATIENCE_S: Final = 20


async def things(person: Person) -> dict[str, str]:
    """Ids of everything that is this person's, by the names that paths have for them."""
    conversation_id = await person.conversation()
    path = f"/v1/conversations/{conversation_id}"
    body = {"client_message_id": conversation_id, "content": "hello"}
    sent = await person.call("POST", f"{path}/messages", body)
    hook = {"url": "https://example.org/hook", "kinds": ["training"]}
    webhook = await person.call("POST", f"/v1/projects/{person.project_id}/webhooks", hook)
    agents = await person.call("GET", f"/v1/projects/{person.project_id}/agents")
    return {
        "project_id": person.project_id,
        "conversation_id": conversation_id,
        "message_id": sent["message_id"],
        "run_id": sent["run_id"],
        "agent_id": agents["data"][0]["id"],
        "user_id": person.user["id"],
        "webhook_id": webhook["id"],
    }


async def still(person: Person, ids: Mapping[str, str]) -> bool:
    """Whether what was asked so far has left the person their things."""
    try:
        await person.call("GET", f"/v1/conversations/{ids['conversation_id']}")
    except Refusal:
        return False
    return True


def examine(
    operation: APIOperation[Any, Any, Any, Any], url: str, token: str, ids: Mapping[str, str], examples: int, seed: int
) -> str | None:
    """Try an operation with so many requests; what is wrong with it, if anything is."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
    )
    @hypothesis.given(case=operation.as_strategy(), ours=hypothesis.strategies.integers(0, 3))
    def ask(case: Case, ours: int) -> None:
        if ours:  # else the ids that were drawn, which nobody has
            case.path_parameters = {name: ids.get(name, value) for name, value in (case.path_parameters or {}).items()}
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
        body = case.body if isinstance(case.body, dict) else {}
        unsure = NOT_ALWAYS_TAKEN & {*(p["name"] for p in operation.definition.raw.get("parameters", ())), *body}
        checks = [check for check in CHECKED if not (unsure and check.__name__ == "positive_data_acceptance")]
        case.call_and_validate(base_url=url, checks=checks, timeout=PATIENCE_S, allow_redirects=False)

    try:
        ask()
    except (AssertionError, BaseExceptionGroup) as error:
        return f"{operation.label}: {error}"
    return None


async def examined(chorus: Chorus, examples: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    wrong, asked = [], 0
    # Each request its own connection: between two of ours the server would close one that is kept.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        async with http.get(f"{chorus.url}/v1/openapi.json") as answer:
            schema = schemathesis.openapi.from_dict(await answer.json())
        person, ids = None, {}
        for found in schema.get_all_operations():
            operation = found.ok()
            if person is None or not await still(person, ids):
                person = await sign_up(http, chorus.url)
                ids = await things(person)
            reason = await asyncio.to_thread(examine, operation, chorus.url, person.access_token, ids, examples, seed)
            wrong += [] if reason is None else [reason]
            asked += 1
    assert asked >= 25
    assert not wrong, f"{len(wrong)} of {asked} operations\n\n" + "\n\n".join(wrong)


async def test_the_document_is_true(chorus: Chorus) -> None:
    """A few requests to every operation."""
    await examined(chorus, examples=2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_the_document_is_true_of_many_requests(chorus: Chorus) -> None:
    """Many requests to every operation."""
    await examined(chorus, examples=100)
