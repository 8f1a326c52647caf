"""From a conversation to what a model is shown."""

from collections.abc import Sequence

from agents.provider import ChatMessage
from agents.usage import message_tokens


def chat_messages(system_prompt: str, context: Sequence[ChatMessage], window_tokens: int) -> list[ChatMessage]:
    """The agent's system prompt and as many of the newest messages as fit its window.

    The message being answered is always there, even alone and too long: the provider then says so, in its own words.
    What begins with an answer has lost its question, so such an answer goes too.

    Args:
        context: oldest first; the last is the message being answered.
        window_tokens: how many tokens the model is to be shown, by our estimate.
    """
    system = [ChatMessage("system", system_prompt)] if system_prompt else []
    room = window_tokens - sum(map(message_tokens, system)) - message_tokens(context[-1])
    first = len(context) - 1
    while first > 0 and (room := room - message_tokens(context[first - 1])) >= 0:
        first -= 1
    while first < len(context) - 1 and context[first].role == "assistant":
        first += 1
    return [*system, *context[first:]]
