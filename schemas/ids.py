"""Ids that say what a thing is caused by.

Doing anything twice gives the same id, so the second time can be seen and changes nothing. Every id is a UUID in its
canonical lower-case text form; derived ids are version 5 (RFC 9562, section 5.5), named inside the id they depend on.
"""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4, uuid5

from msgspec import Meta

Uuid = Annotated[str, Meta(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]


def new_id() -> str:
    """A random id, for a thing that nothing before it names."""
    return str(uuid4())


def canonical(text: str) -> str:
    """The canonical form of a UUID written in any usual way.

    Raises:
        ValueError: `text` is not a UUID.
    """
    return str(UUID(text))


def _derived(cause: str, name: str) -> str:
    return str(uuid5(UUID(cause), name))


def message_id(conversation_id: str, user_id: str, client_message_id: str) -> str:
    """The message that this person sent to this conversation under this id of their own."""
    return _derived(conversation_id, f"message/{user_id}/{client_message_id}")


def run_id(question_id: str, nth_agent: int = 0) -> str:
    """The run of the n-th agent addressed by a message."""
    return _derived(question_id, f"run/{nth_agent}")


def regenerated_run_id(message_id: str, client_request_id: str) -> str:
    """The run that answers again, once for each request id of the client's."""
    return _derived(message_id, f"regenerate/{client_request_id}")


def repeated_id(user_id: str, request: str) -> str:
    """What this person's request makes, however often it is sent."""
    return _derived(user_id, f"request/{request}")


def answer_id(run_id: str) -> str:
    """The message that holds a run's answer."""
    return _derived(run_id, "answer")


def send_id(message_id: str, digest: str) -> str:
    """The command that sends a message; another text under the same message id is another command."""
    return _derived(message_id, f"send/{digest}")


def regenerate_id(run_id: str) -> str:
    """The command that asks for a run that answers again."""
    return _derived(run_id, "regenerate")


def cancel_id(run_id: str, user_id: str) -> str:
    """The command by which this person stops a run."""
    return _derived(run_id, f"cancel/{user_id}")


def create_id(conversation_id: str, user_id: str) -> str:
    """The command by which this person creates a conversation."""
    return _derived(conversation_id, f"create/{user_id}")


def end_of_project_id(conversation_id: str) -> str:
    """The command by which a conversation ends with its project."""
    return _derived(conversation_id, "end of project")


def purge_id(conversation_id: str, deleted_at: datetime) -> str:
    """The command that purges a conversation which was deleted at that time."""
    return _derived(conversation_id, f"purge/{deleted_at.astimezone(UTC).isoformat()}")


def started_id(run_id: str, attempt: int) -> str:
    """The report that an attempt at a run began."""
    return _derived(run_id, f"started/{attempt}")


def ended_id(run_id: str, attempt: int) -> str:
    """The report that an attempt at a run ended."""
    return _derived(run_id, f"ended/{attempt}")


def request_id(run_id: str) -> str:
    """The request that a run be answered; sent again under the same id."""
    return _derived(run_id, "request")


def cancel_request_id(run_id: str) -> str:
    """The request that a run be stopped."""
    return _derived(run_id, "cancel")


def run_used_id(run_id: str) -> str:
    """The event that says what a run took: one, whichever attempt's end was accepted."""
    return _derived(run_id, "used")


def attempt_used_id(run_id: str, attempt: int) -> str:
    """The event that says what an attempt took whose end was not accepted."""
    return _derived(run_id, f"used/{attempt}")


def credit_id(project_id: str, given_id: str) -> str:
    """The transaction that puts credit in, by the id that whoever gives it has for it."""
    return _derived(project_id, f"credit/{given_id}")


def reserve_id(run_id: str) -> str:
    """The transaction that holds money for a run."""
    return _derived(run_id, "reserve")


def release_id(run_id: str) -> str:
    """The transaction that gives back what was held for a run."""
    return _derived(run_id, "release")


def charge_id(run_id: str) -> str:
    """The transaction that charges a run."""
    return _derived(run_id, "charge")


def absorb_id(usage_id: str) -> str:
    """The transaction that says what nobody is charged for of what an event tells."""
    return _derived(usage_id, "absorb")


def reverse_id(transaction_id: str) -> str:
    """The transaction that takes another one back."""
    return _derived(transaction_id, "reverse")


def budget_id(project_id: str, user_id: str | None, agent_id: str | None, period: str) -> str:
    """The budget of a person, an agent, both or everybody in a project, for a kind of period."""
    return _derived(project_id, f"budget/{user_id}/{agent_id}/{period}")


def fact_id(conversation_id: str, cause: str) -> str:
    """The record of what followed from one command."""
    return _derived(conversation_id, f"fact/{cause}")


def notification_id(cause: str, kind: str, user_id: str) -> str:
    """What a person is told, as this kind of notification, of one thing; `cause` is that thing's id."""
    return _derived(cause, f"notification/{kind}/{user_id}")
