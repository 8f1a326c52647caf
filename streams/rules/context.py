"""What an agent is shown: the way that led to the question, as much of it as the agent and a record can take."""

from itertools import islice

from schemas import events
from streams.rules.state import State

MAX_REQUEST_BYTES = 900_000
"""What a request may measure: under the broker's limit for a record, with room for its headers."""

_MESSAGE_BYTES = 120
"""JSON around one sealed text: names, the id, the role."""
_REQUEST_BYTES = 1_000
"""JSON around the whole context."""

_USUAL_MESSAGES = 10
"""How many messages the next question's agent will probably want: the default of an agent's setting."""
_NEXT_RUNS = 8
"""Whose texts are kept at hand: the running one and those that wait longest. Later ones fetch theirs if they must."""
_RECENT_TEXTS = 32
_MOST_TEXTS = 128


def path(state: State, question_id: str, limit: int) -> list[str]:
    """The ids of at most `limit` messages, oldest first, ending with the question.

    From each question to the one before it, each followed by its newest answer; the last has none yet, or is to get
    another.
    """
    newest_first = [question_id]
    earlier = state.messages[question_id].parent_id
    while earlier is not None and len(newest_first) < limit:
        if (answer := state.newest_answer.get(earlier)) is not None:
            newest_first.append(answer)
        newest_first.append(earlier)
        earlier = state.messages[earlier].parent_id
    return newest_first[:limit][::-1]


def at_hand(state: State) -> list[str]:
    """The messages whose texts the next requests will need."""
    paths = [path(state, r.question_id, r.agent.context_messages) for r in islice(state.view.runs.values(), _NEXT_RUNS)]
    if state.view.last_question_id is not None:
        paths.append(path(state, state.view.last_question_id, _USUAL_MESSAGES))
    return list(dict.fromkeys(message_id for one in paths for message_id in one))


def forget_texts(state: State) -> None:
    """Let go of old texts, once there are many. What is needed again all the same can be fetched."""
    if len(state.texts) > _MOST_TEXTS:
        kept = {*at_hand(state), *islice(reversed(state.texts), _RECENT_TEXTS)}
        state.texts = {message_id: text for message_id, text in state.texts.items() if message_id in kept}


def missing(state: State, run_id: str) -> list[str]:
    """The messages whose texts are not here, but needed for `request`."""
    run = state.view.runs[run_id]
    wanted = path(state, run.question_id, run.agent.context_messages)
    return [message_id for message_id in wanted if message_id not in state.texts]


def request(state: State, run_id: str) -> events.AnswerRequested:
    """Ask for the answer of an open run whose turn it is. A text whose owner is gone is left out.

    Trimmed from the oldest until it fits a record. The question itself always does: the edge bounds what people say.
    """
    run = state.view.runs[run_id]
    if run.requested_at is None:
        raise ValueError(f"it is not run {run_id}'s turn")
    room = MAX_REQUEST_BYTES - _REQUEST_BYTES
    newest_first: list[events.ContextMessage] = []
    for message_id in reversed(path(state, run.question_id, run.agent.context_messages)):
        text = state.texts[message_id]
        if text is None:
            continue
        room -= len(text) + _MESSAGE_BYTES
        if room < 0:
            break
        role = state.messages[message_id].role
        newest_first.append(events.ContextMessage(message_id=message_id, role=role, content=text))
    return events.AnswerRequested(
        conversation_id=state.view.conversation_id,
        project_id=state.view.project_id,
        run_id=run_id,
        message_id=run.message_id,
        user_id=run.user_id,
        agent=run.agent,
        context=newest_first[::-1],
        requested_at=run.requested_at,
        untitled=not state.titled,
    )
