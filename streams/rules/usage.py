"""What is told of an attempt's end: what the run is charged for, or what somebody spent on it besides. Pure."""

from schemas.conversation import RunStatus
from schemas.events import RunEndedReport, Usage
from schemas.usage import AttemptUsed, RunUsed, UsageEvent
from streams.rules.state import State


def used(project_id: str, report: RunEndedReport, accepted_as: str | None) -> UsageEvent | None:
    """The event that an end leads to, the same however often it is reported.

    Args:
        accepted_as: how the run ended, where this is the end that was accepted; None where another was.

    Returns:
        None where nobody is known to whom it could be told, and where an attempt that was not accepted took nothing.
    """
    if report.user_id is None or report.agent is None:
        return None
    took = report.usage or Usage(price_version=report.agent.price)
    if accepted_as is None and not took.input_tokens and not took.output_tokens:
        return None
    kind = AttemptUsed if accepted_as is None else RunUsed
    return kind(
        project_id=project_id,
        conversation_id=report.conversation_id,
        run_id=report.run_id,
        attempt=report.attempt,
        user_id=report.user_id,
        agent=report.agent,
        status=accepted_as or report.status,
        # A run that a person stopped may have been reported otherwise, by whom the word reached too late.
        finish_reason="cancelled" if accepted_as == RunStatus.CANCELLED else report.finish_reason,
        usage=took,
    )


def used_again(state: State, report: RunEndedReport) -> UsageEvent | None:
    """What the end of a run leads to that is over; None where it was never here."""
    if (status := state.ended.get(report.run_id)) is None:
        return None
    accepted = state.accepted[report.run_id] == report.attempt
    return used(state.view.project_id, report, status if accepted else None)
