"""Segments and what a listing of them says. No I/O."""

import random
import zlib
from dataclasses import replace
from itertools import pairwise

import pytest

from infra.segments import Damaged, Hole, LogRecord, Segment, Writer, chain, read
from infra.trimming import decide

FOLDER = "log/topic/3"


def record(offset: int, value: bytes | None = b"{}") -> LogRecord:
    return LogRecord(
        partition=3,
        offset=offset,
        timestamp=1_700_000_000_000 + offset,
        key=b"key",
        value=value,
        headers=(("ce_id", b"1"), ("odd", b"\xff\x00"), ("none", None)),
    )


def written(*records: LogRecord) -> tuple[Segment, bytes]:
    writer = Writer(FOLDER)
    for one in records:
        writer.add(one)
    return writer.finish()


def segment(first: int, next: int) -> Segment:
    return Segment(first, next, FOLDER)


def test_what_is_read_is_what_was_written() -> None:
    """Any bytes come back as they were: text, no text, nothing at all."""
    records = [record(7, "được".encode()), record(8, b"\xff\xfe\n"), record(9, None), record(10, b"")]
    made, content = written(*records)

    assert list(read(made, content)) == records
    assert made.path == f"{FOLDER}/{7:020}-{11:020}.jsonl.gz"
    assert Segment.named(made.path, made.size) == made


def test_the_same_records_make_the_same_object() -> None:
    """Two archivers that write one name write the same bytes."""
    assert written(record(1), record(2)) == written(record(1), record(2))


def test_a_name_that_is_no_segments_is_none() -> None:
    """What else lies in the folder, such as an upload that was cut off, is not taken for a segment."""
    assert Segment.named(f"{FOLDER}/{0:020}-{9:020}.jsonl.gz#1", 1) is None
    assert Segment.named(f"{FOLDER}/readme.txt", 1) is None


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "another name", "other records"])
def test_damage_is_noticed(damage: str) -> None:
    """Nothing is read from a segment that is not what was written."""
    made, content = written(*(record(n) for n in range(50)))
    lines = zlib.decompress(content, 31)
    match damage:
        case "a flipped bit":
            content = content[:200] + bytes([content[200] ^ 1]) + content[201:]
        case "cut short":
            content = content[:-30]
        case "another name":
            made = replace(made, next=made.next + 1)
        case "other records":  # gzip itself is content with it
            packer = zlib.compressobj(1, wbits=31)
            content = packer.compress(lines.replace(b'"key":"key"', b'"key":"kez"', 1)) + packer.flush()

    with pytest.raises(Damaged):
        list(read(made, content))


def test_a_record_that_is_missing_is_noticed() -> None:
    """Offsets follow each other, or there is no segment."""
    writer = Writer(FOLDER)
    writer.add(record(4))
    with pytest.raises(Hole):
        writer.add(record(6))


def test_a_chain_is_whatever_leads_on() -> None:
    """Segments may overlap, be contained in others, or lie behind a hole."""
    whole, again, crumb, next_one, far = segment(0, 10), segment(0, 14), segment(3, 8), segment(12, 20), segment(25, 30)

    assert chain([far, crumb, whole, next_one, again]) == [again, next_one]
    assert chain([far, crumb, whole, next_one, again], start=8) == [again, next_one]
    assert chain([crumb]) == []
    assert chain([]) == []


def test_a_chain_holds_every_offset_that_can_be_reached() -> None:
    """Whatever segments there are, the chain reaches as far as taking every offset one by one does."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(500):
        made = []
        for _ in range(chance.randrange(8)):
            first = chance.randrange(20)
            made.append(segment(first, first + chance.randrange(1, 8)))
        reachable = 0
        while any(s.first <= reachable < s.next for s in made):
            reachable += 1

        found = chain(made)

        assert (found[-1].next if found else 0) == reachable
        assert all(a.next >= b.first and a.next < b.next for a, b in pairwise(found))


def test_trimming_takes_the_smallest_limit_and_never_goes_back() -> None:
    """What is trimmed is allowed by every limit; where one lies below what Kafka has, nothing is."""
    assert decide(0, 5, {"age": 90, "backup": 40, "group": 70}).until == 40
    assert decide(0, 5, {"age": 90, "backup": 40, "group": 70}).limit == "backup"
    assert decide(0, 50, {"age": 90, "backup": 40}).until == 50
