"""How long a search takes among a million messages.

Question: milliseconds from the query as typed to a page of 20 with its matches marked, in PostgreSQL and the code
around it, one query after the other. 1,000,000 messages (half of people, 60 to 200 characters; half of agents, 300 to
1,500) stand in 20,000 conversations of 200 projects, the largest with a fifth of all; words are as frequent as in
languages (Zipf's law, 50,000 of them). Who asks is in the largest project, in another one, or in 20. What is asked:
rare words, words that stand in every second message, two words, a phrase, a beginning, a word that stood only in the
oldest tenth, and nothing that is there.

    CHORUS_DATABASE_URL=… python -m tests.benchmarks.search --messages 1000000

It fills the tables that the settings name: give it a database of its own.
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from uuid import UUID

import asyncpg
from rich.progress import Progress

from infra import search
from infra.settings import PostgresSettings
from tests.benchmarks.figures import Series

WORDS = 50_000
PROJECTS = 200
MESSAGES_A_CONVERSATION = 50
LARGEST = 0.2
"""Share of the messages that stand in the largest project."""
SPAN = timedelta(days=730)
END = datetime(2026, 11, 1, tzinfo=UTC)
LIMIT = 20
LINE_MS = 50.0

_SYLLABLES = (
    "hoá", "đơn", "thanh", "toán", "cà", "phê", "nước", "mát", "trời", "sáng", "ngày",
    "đêm", "gió", "mưa", "sông", "núi", "bạn", "nhà", "đường", "phố", "học", "làm",
)  # fmt: skip
_COLUMNS = ("id", "conversation_id", "project_id", "position", "role", "owner_id", "content", "created_at")


class Language:
    """Words of two to four syllables, the n-th as frequent as 1/n, and texts made of them."""

    def __init__(self, drawn: random.Random) -> None:
        self._drawn = drawn
        self.words = sorted({self._word() for _ in range(WORDS)}, key=lambda _: drawn.random())
        self._weights = list(accumulate(1 / (n + 2) for n in range(len(self.words))))

    def _word(self) -> str:
        return "".join(self._drawn.choice(_SYLLABLES) for _ in range(self._drawn.randint(2, 4)))

    def text(self, characters: int) -> str:
        """About so many characters."""
        count = max(1, characters // 11)
        return " ".join(self._drawn.choices(self.words, cum_weights=self._weights, k=count))


def _id(drawn: random.Random) -> UUID:
    return UUID(int=drawn.getrandbits(128), version=4)


async def fill(connection: "asyncpg.Connection[asyncpg.Record]", drawn: random.Random, count: int) -> Language:
    """Projects, conversations and messages; the indexes are made afterwards, as a rebuild does."""
    language = Language(drawn)
    people = [_id(drawn) for _ in range(3)]
    projects = [_id(drawn) for _ in range(PROJECTS)]
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'messages' AND indexname <> 'messages_pkey'"
    )
    for row in indexes:
        await connection.execute(f'DROP INDEX "{row["indexname"]}"')
    await connection.executemany("INSERT INTO projects (id, name) VALUES ($1, 'Bench')", [(p,) for p in projects])
    for n, person in enumerate(people):
        await connection.execute(
            "INSERT INTO users (id, email, display_name) VALUES ($1, $2, 'Bench')", person, f"bench{n}@example.org"
        )
        await connection.executemany(
            "INSERT INTO project_members VALUES ($1, $2, 'member')",
            [(p, person) for p in (projects[:1], projects[1:2], projects[:20])[n]],
        )
    conversations = [_id(drawn) for _ in range(count // MESSAGES_A_CONVERSATION)]
    large = int(len(conversations) * LARGEST)
    at_home = [projects[0] if n < large else projects[1 + n % (PROJECTS - 1)] for n in range(len(conversations))]
    await connection.copy_records_to_table(
        "conversations",
        columns=("id", "project_id", "created_by", "title", "position", "created_at", "updated_at"),
        records=[
            (c, p, people[0], language.text(40), MESSAGES_A_CONVERSATION, END - SPAN, END - SPAN * drawn.random())
            for c, p in zip(conversations, at_home, strict=True)
        ],
    )

    def messages(start: int, size: int) -> Iterator[tuple[object, ...]]:
        for n in range(start, start + size):
            # The busy ones of a moment: a conversation is a few days of the two years.
            place = (n % 400) + 400 * (n * len(conversations) // 400 // count)
            of = (place * 7919) % len(conversations)
            asks = n % 2 == 0
            text = language.text(drawn.randint(60, 200) if asks else drawn.randint(300, 1500))
            old = " wintermärchen" if n < count // 10 and n % 9 == 0 else ""
            yield (
                _id(drawn), conversations[of], at_home[of], n + 1, "user" if asks else "assistant",
                people[0], text + old, END - SPAN + SPAN * (n / count),
            )  # fmt: skip

    with Progress() as progress:
        filling = progress.add_task("messages", total=count)
        for start in range(0, count, 20_000):
            size = min(20_000, count - start)
            await connection.copy_records_to_table("messages", columns=_COLUMNS, records=messages(start, size))
            progress.advance(filling, size)
        indexing = progress.add_task("indexes", total=len(indexes))
        await connection.execute("SET maintenance_work_mem = '512MB'")
        for row in indexes:
            await connection.execute(row["indexdef"])
            progress.advance(indexing)
    await connection.execute("VACUUM ANALYZE")
    return language


def queries(language: Language, drawn: random.Random) -> dict[str, str]:
    """One of each kind."""
    words = language.words
    rare = words[drawn.randint(5_000, len(words) - 1)]
    return {
        "a rare word": rare,
        "a common word": words[drawn.randint(0, 20)],
        "two words": f"{words[drawn.randint(20, 300)]} {words[drawn.randint(300, 3000)]}",
        "two common words": f"{words[drawn.randint(0, 20)]} {words[drawn.randint(0, 20)]}",
        "a phrase": f'"{words[drawn.randint(0, 200)]} {words[drawn.randint(0, 200)]}"',
        "a beginning": f"{rare[:6]}*",
        "a short beginning": f"{rare[:3]}*",
        "only in the oldest": "wintermarchen",
        "nothing": f"nothing{drawn.randint(0, 10**6)}",
    }


async def measure(settings: PostgresSettings, count: int, rounds: int, seed: int) -> dict[str, Series]:
    drawn = random.Random(seed)
    connection = await asyncpg.connect(settings.url)
    try:
        began = time.perf_counter()
        language = await fill(connection, drawn, count)
        print(f"filled with {count:,} messages in {time.perf_counter() - began:.0f} s")
        people = await connection.fetch("SELECT id::text FROM users WHERE display_name = 'Bench' ORDER BY email")
        series: dict[str, Series] = {}
        for n in range(rounds + 2):
            for (person,) in people:
                for kind, query in queries(language, drawn).items():
                    began = time.perf_counter()
                    await search.find(connection, person, search.terms(query), limit=LIMIT)
                    if n >= 2:  # the first ones fill the caches
                        series.setdefault(kind, Series(kind)).add(time.perf_counter() - began)
        return series
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a search takes among a million messages.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    settings = PostgresSettings.from_env(dict(os.environ))
    series = asyncio.run(measure(settings, args.messages, args.rounds, args.seed))
    whole = Series("all", [value for one in series.values() for value in one.values])
    for one in (*series.values(), whole):
        print(
            f"{one.name:<24} n {len(one.values):>5}   p50 {one.at(0.5):7.1f}   p95 {one.at(0.95):7.1f}   "
            f"p99 {one.at(0.99):7.1f}   max {one.at(1):7.1f} ms"
        )
    print(f"p95 of all {whole.at(0.95):.1f} ms (line: {LINE_MS:.0f} ms)")


if __name__ == "__main__":
    main()
