"""Finding messages and titles by their words, in what somebody may read. Decided in ADR 0029.

Rare words are answered by rank: all messages that match are looked at. Words that are everywhere are answered newest
first, a thousand messages at a time: no query reads more than its share, however common its words are.

Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

MOST_TERMS: Final = 16
"""Words and phrases of one query that count."""
SHORTEST_PREFIX: Final = 3
"""Characters before a `*`; what is shorter is looked for as it is."""
MOST_RANKED: Final = 300
"""Matches that are ranked; where there are more, the newest come first."""
MOST_TITLES: Final = 10
"""Titles that a first page begins with; never more than half of it."""

_WALKED_FIRST: Final = 300
"""Messages, of all projects together, that are read in a row, newest first, to see whether they match."""
_COMMON: Final = 6
"""Matches among these that make words common ones."""
_FEW: Final = 2
"""Matches among these from which it is worked out how many there are in all."""
_WALKED: Final = 1_000
"""The same, once they are known to be common."""
_ROUNDS: Final = 3
"""Walks for one page. It may end with fewer matches than asked for, and a cursor."""
_TOO_MANY: Final = 4 * MOST_RANKED
"""Matches that are expected in all, above which the index is not asked: it reads them all before it tells the first,
and they would not be ranked."""
_MOST_READ: Final = 800
"""Messages that have a phrase's words somewhere, and are read to see whether they stand side by side. Where there are
more, the newest messages come first. The index knows words and not their places."""
_TITLES_WALKED: Final = 2_000
"""Conversations, of all projects together, newest activity first, whose titles are looked at."""
_LIMIT_MS: Final = 2_000
"""Time for one statement, in milliseconds: what takes longer is cut."""

Key: TypeAlias = tuple[datetime, str]
"""When a message was made, and its id."""

_LAST: Final[Key] = (datetime(9999, 1, 1, tzinfo=UTC), "ffffffff-ffff-ffff-ffff-ffffffffffff")

_BEGINS, _ENDS = "\x02", "\x03"
_GIVEN_BACK: Final = str.maketrans({"\x04": "<", "\x05": ">", "\x06": "/"})
"""What `shown` puts in the place of characters that the parser of texts would take for markup."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was asked for. All of it must be there.

    Attributes:
        phrases: words that stand side by side; one word is a phrase, too.
        prefixes: the same, and of the last word only its beginning is given.
    """

    phrases: tuple[str, ...]
    prefixes: tuple[str, ...]


def terms(text: str) -> Terms:
    """Read a query as people type it: `words`, `"a phrase"`, `begin*`. Whatever is typed is a query."""
    phrases, prefixes = [], []
    for phrase, word in re.findall(r'"([^"]*)"?|([^\s"]+)', text)[:MOST_TERMS]:
        # What is no letter ends a word: of `e-ma*` the beginning is of `ma`.
        beginning = re.sub(r"[\W_]+", " ", word).strip() if word.endswith("*") else ""
        if len(beginning.rpartition(" ")[2]) >= SHORTEST_PREFIX:
            prefixes.append(beginning)
        else:
            phrases.append(phrase or word)
    return Terms(tuple(phrases), tuple(prefixes))


class Segment(Struct, frozen=True):
    """A stretch of a text; `match` where it is what was looked for."""

    text: str
    match: bool


class Found(Struct, frozen=True, kw_only=True):
    """A message, or, without `message_id`, a conversation with such a title.

    Attributes:
        position: of the message in its conversation; of a title, the conversation's.
        rank: greater is better; comparable within one query only.
    """

    conversation_id: str
    conversation_title: str | None
    project_id: str
    archived: bool
    message_id: str | None
    position: int
    role: str | None
    author_id: str | None
    created_at: datetime
    snippet: list[Segment]
    rank: float


class Ranked(Struct, frozen=True, tag="ranked"):
    """After this one, by rank as it was at `at`."""

    at: datetime
    score: float
    id: str


class Newest(Struct, frozen=True, tag="newest"):
    """Older than this one."""

    created_at: datetime
    id: str


After = Ranked | Newest


class NothingToFind(ValueError):
    """There is no word in the query."""


# Each term is read as texts are, with the same words. Of a prefix the last word is written last.
_QUERY: Final = """
SELECT coalesce(string_agg('(' || term || ')', ' & '), '') FROM (
    SELECT phraseto_tsquery('simple', folded(p))::text AS term FROM unnest($1::text[]) AS p
    UNION ALL
    SELECT nullif(phraseto_tsquery('simple', folded(p))::text, '') || ':*' FROM unnest($2::text[]) AS p
) AS terms WHERE term <> ''
"""

# The one place that says what the caller may read: $1 is the caller, $2 one project or null.
_MINE: Final = """
WITH mine AS MATERIALIZED (
    SELECT project_id FROM project_members WHERE user_id = $1::uuid AND ($2::uuid IS NULL OR project_id = $2)
)
"""
_TITLES: Final = f"""
{_MINE}, share AS (SELECT greatest(50, {_TITLES_WALKED} / greatest(1, count(*))) AS size FROM mine)
SELECT id::text FROM mine, share, LATERAL (
    SELECT id, search FROM conversations
    WHERE project_id = mine.project_id AND NOT deleted ORDER BY updated_at DESC, id DESC LIMIT size
) AS newest
WHERE search @@ $3::text::tsquery LIMIT $4
"""
_WALK: Final = f"""
{_MINE}, share AS (SELECT greatest(20, $6::int / greatest(1, count(*))) AS size FROM mine)
SELECT id::text, created_at, matches, n = size AS last FROM mine, share, LATERAL (
    SELECT id, created_at, search @@ $3::text::tsquery AS matches, row_number() OVER () AS n FROM (
        SELECT id, created_at, search FROM messages
        WHERE project_id = mine.project_id AND (created_at, id) < ($4::timestamptz, $5::uuid)
        ORDER BY created_at DESC, id DESC LIMIT size
    ) AS newest
) AS walked
WHERE matches OR n = size
ORDER BY created_at DESC, id DESC
"""
# What the planner expects, which it knows without reading any.
_SIZE: Final = "EXPLAIN (FORMAT JSON) SELECT FROM messages WHERE project_id = ANY($1::uuid[])"
# Project by project: of two words the index need not read the one that is everywhere, of many alternatives it would.
# A row without an id says that there are more candidates than were read.
_PROBE: Final = f"""
{_MINE}, candidates AS MATERIALIZED (
    SELECT id, search @@ $3::text::tsquery AS matches FROM mine CROSS JOIN LATERAL (
        SELECT id, search FROM messages WHERE search @@ (
            ('''=' || mine.project_id || '''')::tsquery && regexp_replace($3::text, '<(-|\\d+)>', '&', 'g')::tsquery
        )
        LIMIT $4 + 1
    ) AS with_the_words LIMIT $4 + 1
)
(SELECT id::text FROM candidates WHERE matches LIMIT {MOST_RANKED + 1})
UNION ALL SELECT NULL FROM candidates HAVING count(*) > $4
"""
# A match of today counts twice as much as one of long ago.
_SCORE: Final = """
ts_rank(m.search, $3::text::tsquery, 1) * (1 + exp(-greatest(0, extract(epoch FROM $4 - m.created_at)) / 2592000.0))
"""
_RANK: Final = f"""
{_MINE}
SELECT id, score FROM (
    SELECT m.id::text, {_SCORE} AS score
    FROM messages AS m JOIN conversations AS c ON c.id = m.conversation_id AND NOT c.deleted
        JOIN mine ON mine.project_id = c.project_id
    WHERE m.id = ANY($5::uuid[])
) AS scored
WHERE $6::float8 IS NULL OR (-score, id) > (-$6, $7)
ORDER BY score DESC, id LIMIT $8
"""
_HEADLINE: Final = (
    "ts_headline('public.chorus', shown({text}), $3::text::tsquery, "
    "E'StartSel=\\x02, StopSel=\\x03, MinWords=12, MaxWords=32')"
)
_SHOWN: Final = f"""
{_MINE}
SELECT c.id::text AS conversation_id, c.title AS conversation_title, c.project_id::text, c.archived,
    m.id::text AS message_id, m.position, m.role, m.author_id::text, m.created_at,
    {_HEADLINE.format(text="m.content")} AS headline, {_SCORE} AS rank
FROM messages AS m JOIN conversations AS c ON c.id = m.conversation_id AND NOT c.deleted
    JOIN mine ON mine.project_id = c.project_id
WHERE m.id = ANY($5::uuid[])
"""
_SHOWN_TITLES: Final = f"""
{_MINE}
SELECT c.id::text AS conversation_id, c.title AS conversation_title, c.project_id::text, c.archived,
    NULL AS message_id, c.position, NULL AS role, NULL AS author_id, c.created_at,
    {_HEADLINE.format(text="c.title")} AS headline, {_SCORE.replace("m.", "c.")} AS rank
FROM conversations AS c JOIN mine ON mine.project_id = c.project_id
WHERE NOT c.deleted AND c.id = ANY($5::uuid[])
ORDER BY rank DESC, conversation_id
"""


async def find(
    connection: "Connection",
    user_id: str,
    query: Terms,
    *,
    project_id: str | None = None,
    after: After | None = None,
    limit: int,
) -> tuple[list[Found], After | None]:
    """What matches in the projects that this person is a member of, or in one of them.

    The first page begins with titles. A page may have fewer than `limit`, even none, and still not be the last.

    Returns:
        a page, and what the next one comes after; None where it is the last.

    Raises:
        NothingToFind: see there.
        asyncpg.QueryCanceledError: the query takes too long.
    """
    asked = await connection.fetchval(_QUERY, query.phrases, query.prefixes)
    if not asked:
        raise NothingToFind
    async with connection.transaction(readonly=True):
        # The planner cannot know how rare a project is among those who share this table: it must not read all of it.
        # A beginning of many words needs room, or pages are read where messages would do.
        await connection.execute(
            f"SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = {_LIMIT_MS}; SET LOCAL work_mem = '64MB'"
        )
        look = _Look(connection, (user_id, project_id, asked))
        return await look.first(limit) if after is None else await look.further(after, limit)


@dataclass(frozen=True, slots=True)
class _Look:
    connection: "Connection"
    asked: tuple[str, str | None, str]

    async def first(self, limit: int) -> tuple[list[Found], After | None]:
        titles = await self.connection.fetch(_TITLES, *self.asked, min(MOST_TITLES, limit // 2))
        found = await self._show(_SHOWN_TITLES, [row["id"] for row in titles])
        seen, floor = await self._walk(_LAST, _WALKED_FIRST)
        ids, are_all = [id for _, id in seen], floor is None
        if not are_all and len(seen) < _COMMON and not await self._are_too_many(len(seen)):
            ids, are_all = await self._probe()
        if are_all:
            more, after = await self._ranked(ids, None, limit - len(found))
        else:
            more, after = await self._newest(seen, floor, limit - len(found))
        return found + more, after

    async def further(self, after: After, limit: int) -> tuple[list[Found], After | None]:
        if isinstance(after, Ranked):
            ids, _ = await self._probe()
            return await self._ranked(ids, after, limit)
        return await self._newest(*await self._walk((after.created_at, after.id)), limit)

    async def _are_too_many(self, seen: int) -> bool:
        """Whether so many matches among the first that were read say that there are far too many to rank."""
        if seen < _FEW:
            return False
        mine = await self.connection.fetch(f"{_MINE} SELECT project_id FROM mine", *self.asked[:2])
        explained = msgspec.json.decode(await self.connection.fetchval(_SIZE, [row["project_id"] for row in mine]))
        return bool(explained[0]["Plan"]["Plan Rows"] * seen > _TOO_MANY * _WALKED_FIRST)

    async def _probe(self) -> tuple[list[str], bool]:
        """Matches that the index finds, and whether they are all there are."""
        most = _MOST_READ if "<" in self.asked[2] else MOST_RANKED
        ids = [row["id"] for row in await self.connection.fetch(_PROBE, *self.asked, most)]
        found = [id for id in ids if id is not None]
        return found[:MOST_RANKED], len(found) == len(ids) <= MOST_RANKED

    async def _walk(self, before: Key, most: int = _WALKED) -> tuple[list[Key], Key | None]:
        """Matches among the newest messages of each project before one, newest first, and how far they are all there
        are; None: to the beginning of all."""
        rows = await self.connection.fetch(_WALK, *self.asked, *before, most)
        floor = max(((row["created_at"], row["id"]) for row in rows if row["last"]), default=None)
        return [(row["created_at"], row["id"]) for row in rows if row["matches"]], floor

    async def _newest(self, seen: list[Key], floor: Key | None, limit: int) -> tuple[list[Found], After | None]:
        matches, rounds = _above(floor, seen), 1
        while len(matches) <= limit and floor is not None and rounds < _ROUNDS:
            seen, floor = await self._walk(floor)
            matches += _above(floor, seen)
            rounds += 1
        page = matches[:limit]
        found = await self._show(_SHOWN, [id for _, id in page])
        if len(matches) > limit:
            return found, Newest(*page[-1])
        return found, None if floor is None else Newest(*floor)

    async def _ranked(self, ids: list[str], after: Ranked | None, limit: int) -> tuple[list[Found], After | None]:
        """A page of these matches, best first. What has become a match since the first page may be missed."""
        at = datetime.now(UTC) if after is None else after.at
        last = (None, None) if after is None else (after.score, after.id)
        rows = await self.connection.fetch(_RANK, *self.asked, at, ids, *last, limit + 1)
        found = await self._show(_SHOWN, [row["id"] for row in rows[:limit]], at)
        if len(rows) <= limit:
            return found, None
        return found, Ranked(at, rows[limit - 1]["score"], rows[limit - 1]["id"])

    async def _show(self, statement: str, ids: list[str], at: datetime | None = None) -> list[Found]:
        if not ids:
            return []
        rows = await self.connection.fetch(statement, *self.asked, at or datetime.now(UTC), ids)
        found = [_found(dict(row)) for row in rows]
        if statement is _SHOWN:
            places = {id: n for n, id in enumerate(ids)}
            found.sort(key=lambda one: places[one.message_id or ""])
        return found


def _above(floor: Key | None, keys: list[Key]) -> list[Key]:
    return [key for key in keys if floor is None or key >= floor]


def _found(row: dict[str, Any]) -> Found:
    return Found(snippet=segments(row.pop("headline")), **row)


def segments(headline: str) -> list[Segment]:
    """A text with its matches between markers, taken apart."""
    parts = re.split(f"({_BEGINS}.*?{_ENDS})", headline, flags=re.DOTALL)
    return [
        Segment(part.strip(_BEGINS + _ENDS).translate(_GIVEN_BACK), part.startswith(_BEGINS)) for part in parts if part
    ]
