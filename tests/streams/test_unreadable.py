"""Bytes that are no text end no process: whoever reads a topic beside its own group passes over them."""

import msgspec
import pytest
from aiokafka.structs import ConsumerRecord

from schemas import events
from schemas.events import RunStartedReport
from streams.rules.replies import Memory
from streams.workers.recall import _note, _requested_ms

NO_TEXT = b'{"conversation_id": "\xff\xfe", "run_id": "\x80"}'


def record(value: bytes | None) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord(
        topic="conversation-commands",
        partition=0,
        offset=7,
        timestamp=1_000,
        timestamp_type=0,
        key=b"k",
        value=value,
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=0,
        headers=[("ce_type", RunStartedReport.type.encode())],
    )


@pytest.mark.parametrize("value", [NO_TEXT, b"", None, b"{"])
def test_replies_remembers_nothing_of_it(value: bytes | None) -> None:
    """Neither a report nor a request that cannot be read stops the reading of what was reported."""
    memory = Memory()
    _note(record(value), memory)
    assert len(memory) == 0
    assert _requested_ms(record(value)) == 1_000


@pytest.mark.parametrize("value", [NO_TEXT, b"", b"{"])
def test_a_fact_that_is_no_text_is_malformed(value: bytes) -> None:
    """Readers of facts need to know one error for all that cannot be read."""
    with pytest.raises(msgspec.DecodeError):
        events.decode_advanced(value)
