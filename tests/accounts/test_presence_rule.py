"""Presence as a rule: windows and time in, changes worth telling out; changes told in, what watchers see out."""

import random
from datetime import UTC, datetime

from edge.rosters import MOST_SHOWN, Change, Here, Roster, Shown
from infra.presence import Entry

LINGER_S = 15.0
TALK, ADA, BOB = "talk", "ada", "bob"
PLACE = (TALK, ADA)
SEEN = datetime(2026, 1, 1, tzinfo=UTC)


def here() -> Here:
    return Here(LINGER_S, now=0.0)


def statuses(changes: list[Change]) -> list[str]:
    return [change.status for change in changes]


# -- our own people --


def test_several_windows_are_one_presence() -> None:
    """A person is online while any window is, away where all are, and told once for each change."""
    people = here()
    people.look(PLACE, "first", away=False)
    people.look(PLACE, "second", away=False)
    assert people.take(0.0) == [Change(TALK, ADA, "online")]

    people.look(PLACE, "first", away=True)
    assert people.take(1.0) == []
    people.look(PLACE, "second", away=True)
    assert statuses(people.take(2.0)) == ["away"]
    people.leave(PLACE, "second", 3.0)
    people.look(PLACE, "first", away=False)
    assert statuses(people.take(3.0)) == ["online"]


def test_a_reload_does_not_blink() -> None:
    """Whoever comes back within the linger never left."""
    people = here()
    people.look(PLACE, "before", away=False)
    people.take(0.0)
    people.leave(PLACE, "before", 1.0)
    assert people.take(1.0 + LINGER_S - 1) == []
    people.look(PLACE, "after", away=False)

    assert people.take(1.0 + LINGER_S) == []
    assert people.take(100.0) == []
    assert statuses(people.everyone()) == ["online"]


def test_who_is_gone_is_gone_after_the_linger() -> None:
    """After the linger it is told once, with the time when the last window closed; nothing is kept of them."""
    people = here()
    people.look(PLACE, "first", away=False)
    people.take(0.0)
    people.leave(PLACE, "first", 5.0)
    people.leave(PLACE, "first", 9.0)

    assert people.take(4.9 + LINGER_S) == []
    assert people.take(6.0 + LINGER_S) == [Change(TALK, ADA, "offline", left=5.0)]
    assert (people.everyone(), len(people)) == ([], 0)


def test_a_glance_is_not_told() -> None:
    """Who came and went between two tellings is not told of, and nothing is kept of them."""
    people = here()
    people.look(PLACE, "first", away=False)
    people.leave(PLACE, "first", 0.1)

    assert people.take(0.2) == people.take(1.0 + LINGER_S) == []
    assert len(people) == 0


# -- what watchers see --


def test_a_person_on_two_gateways() -> None:
    """The gateways of one person make one presence; it ends with the last."""
    roster = Roster()
    assert roster.told("g1", ADA, "away", None) == [Shown(ADA, "away")]
    assert roster.told("g2", ADA, "online", None) == [Shown(ADA, "online")]
    assert roster.told("g2", ADA, "offline", SEEN) == [Shown(ADA, "away")]
    assert roster.told("g1", ADA, "offline", SEEN) == [Shown(ADA, "offline", SEEN)]
    assert roster.told("g1", ADA, "offline", SEEN) == []


def test_a_dead_gateway_takes_only_its_own_people() -> None:
    """Those who are on another gateway, too, do not blink."""
    roster = Roster()
    for gateway, person in (("dead", ADA), ("dead", BOB), ("alive", BOB)):
        roster.told(gateway, person, "online", None)

    entries, shown = roster.without({"dead"}, SEEN)

    assert sorted(entries) == [("dead", ADA, "online"), ("dead", BOB, "online")]
    assert shown == [Shown(ADA, "offline", SEEN)]
    assert [p.user_id for p in roster.present(but="nobody")] == [BOB]
    assert roster.present(but=BOB) == []


def test_a_crowd_is_shown_in_part() -> None:
    """Of many people some are shown, each change of theirs is told, and whoever goes makes room for another."""
    roster = Roster()
    crowd = [f"person {n}" for n in range(MOST_SHOWN + 2)]
    told = [shown for person in crowd for shown in roster.told("g", person, "online", None)]
    assert [s.user_id for s in told] == crowd[:MOST_SHOWN]
    assert roster.told("g", crowd[-1], "away", None) == []

    assert roster.told("g", crowd[-2], "offline", SEEN) == []
    assert roster.told("g", crowd[0], "offline", SEEN) == [Shown(crowd[0], "offline", SEEN), Shown(crowd[-1], "away")]


def test_what_is_told_agrees_with_what_is_there() -> None:
    """Whatever gateways tell, die of and are read again as: who applies what is told sees what is present, and that is
    who has an entry, or as many of them as are shown at most."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        roster, seen = Roster(most=5), {}
        entries: dict[tuple[str, str], str] = {}
        people = [f"person {n}" for n in range(chance.choice([3, 9]))]
        for _ in range(100):
            gateway, person = chance.choice("abc"), chance.choice(people)
            match chance.randrange(8):
                case 0:
                    _, told = roster.without({gateway}, SEEN)
                    entries = {at: status for at, status in entries.items() if at[0] != gateway}
                case 1:
                    entries = {at: status for at, status in entries.items() if chance.random() < 0.8}
                    told = roster.replaced(Entry(*at, status) for at, status in entries.items())  # type: ignore[arg-type]
                case _:
                    status = chance.choice(["online", "away", "offline"])
                    told = roster.told(gateway, person, status, SEEN)  # type: ignore[arg-type]
                    entries.pop((gateway, person), None)
                    if status != "offline":
                        entries[gateway, person] = status
            for shown in told:
                assert seen.get(shown.user_id, "offline") != shown.status
                seen[shown.user_id] = shown.status
            present = {p.user_id: p.status for p in roster.present(but="nobody")}
            assert present == {person: status for person, status in seen.items() if status != "offline"}
            there = {person for _, person in entries}
            assert present.keys() <= there
            assert len(present) == min(len(there), 5)
