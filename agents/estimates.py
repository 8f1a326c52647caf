"""How much an answer may become, before anybody has said a word of it."""

from agents.catalog import AgentConfig
from agents.provider import Prompt
from agents.script import Manner, Say, script_of
from agents.usage import BYTES_PER_TOKEN

LIMITS = ("max_completion_tokens", "max_tokens")
"""The parameters by which a model is told how many tokens it may answer."""


def most_output(config: AgentConfig, prompt: Prompt, max_answer_bytes: int) -> int:
    """The most tokens that an answer may have: what its agent was told, else as many as the longest answer holds.

    A scripted agent's answer is known before it begins.
    """
    if config.kind == "scripted":
        manner = Manner(tokens=config.tokens, delay_ms=config.delay_ms)
        return sum(isinstance(step, Say) for step in script_of(prompt.messages, manner).steps)
    told = [limit for name in LIMITS if type(limit := prompt.params.get(name)) is int and limit > 0]
    return min([*told, -(-max_answer_bytes // BYTES_PER_TOKEN)])


def with_most_output(prompt: Prompt, tokens: int) -> Prompt:
    """The same prompt, its answer to be no longer than so many tokens, if its model is told of a limit at all: one that
    was never told may not know the word."""
    lowered = {name: min(prompt.params[name], tokens) for name in LIMITS if type(prompt.params.get(name)) is int}
    return Prompt(messages=prompt.messages, params={**prompt.params, **lowered}) if lowered else prompt
