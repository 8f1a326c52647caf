"""Who is present where: what our own people do, and what is shown of everybody. Pure: the clock is passed in.

`Here` turns windows that open, close and look away into the few changes worth telling other gateways. A `Roster` turns
what all gateways tell of a conversation into what its watchers see.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from edge.wheel import Wheel
from infra.presence import Entry
from schemas.frames import PresenceStatus, Present

MOST_SHOWN: Final = 100
"""People shown of one conversation. Without an end, ten thousand people who enter one tell each other a hundred million
times."""
_TURN_S: Final = 0.5

Place = tuple[str, str]
"""A conversation and a person in it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What other gateways do not know yet.

    Attributes:
        left: when the person's last window closed, on the clock that was passed in; None while there is one.
    """

    conversation_id: str
    user_id: str
    status: PresenceStatus
    left: float | None = None


@dataclass(slots=True)
class _Person:
    windows: dict[object, bool] = field(default_factory=dict)
    """Each window, and whether it is away."""
    told: PresenceStatus = "offline"
    left: float | None = None


class Here:
    """The people of this gateway, in the conversations that they look at.

    Args:
        linger_s: seconds that someone stays present after their last window closed: a reload is no coming and going.
    """

    def __init__(self, linger_s: float, now: float) -> None:
        self._linger_s = linger_s
        self._people: dict[Place, _Person] = {}
        self._changed: dict[Place, None] = {}
        self._lingering: Wheel[Place] = Wheel(_TURN_S, now)
        self._turned: dict[Place, bool] = {}

    def __len__(self) -> int:
        return len(self._people)

    def look(self, place: Place, window: object, *, away: bool) -> None:
        """A window looks at a conversation, or looks differently now."""
        person = self._people.get(place)
        if person is None:
            person = self._people[place] = _Person()
        person.windows[window] = away
        if person.left is not None:
            person.left = None
            self._lingering.remove(place)
            self._turned[place] = False
        self._changed[place] = None

    def leave(self, place: Place, window: object, now: float) -> None:
        """A window closed; it need not have looked."""
        person = self._people.get(place)
        if person is None or window not in person.windows:
            return
        del person.windows[window]
        if person.windows:
            self._changed[place] = None
        else:
            person.left = now
            self._lingering.put(place, now + self._linger_s)
            self._turned[place] = True

    def turned(self) -> dict[Place, bool]:
        """Who closed their last window (true), or came back to one (false), since the last time: those who are shown
        as if they were there, and see nothing."""
        turned, self._turned = self._turned, {}
        return turned

    def take(self, now: float) -> list[Change]:
        """What is to be told since the last time."""
        changes = []
        for place in self._lingering.turn(now):
            self._changed[place] = None
        for place in self._changed:
            person = self._people[place]
            if person.windows:
                status: PresenceStatus = "away" if all(person.windows.values()) else "online"
            elif place in self._lingering:
                continue
            else:
                status = "offline"
                del self._people[place]
            if status != person.told:
                person.told = status
                changes.append(Change(*place, status, person.left))
        self._changed.clear()
        return changes

    def everyone(self) -> list[Change]:
        """Everything that was told and still holds."""
        return [Change(*place, person.told) for place, person in self._people.items() if person.told != "offline"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the watchers of a conversation are to see of one person."""

    user_id: str
    status: PresenceStatus
    last_seen: datetime | None = None


class Roster:
    """Everybody in one conversation, as far as gateways have told.

    Args:
        most: of more than these, the first are shown; whoever goes is replaced by one who waited.
    """

    __slots__ = ("_most", "_people", "_shown", "_waiting")

    def __init__(self, most: int = MOST_SHOWN) -> None:
        self._most = most
        self._people: dict[str, dict[str, PresenceStatus]] = {}
        self._shown: dict[str, PresenceStatus] = {}
        self._waiting: dict[str, None] = {}

    def present(self, but: str) -> list[Present]:
        """Everybody shown, but for this one."""
        return [Present(user_id=user_id, status=status) for user_id, status in self._shown.items() if user_id != but]

    def told(self, gateway: str, user_id: str, status: PresenceStatus, last_seen: datetime | None) -> list[Shown]:
        """A gateway says what it sees of someone."""
        if status == "offline":
            self._people.get(user_id, {}).pop(gateway, None)
        else:
            self._people.setdefault(user_id, {})[gateway] = status
        return self._look(user_id, last_seen)

    def without(self, gateways: Collection[str], last_seen: datetime) -> tuple[list[Entry], list[Shown]]:
        """Gateways died: their entries, and what is to be shown now."""
        gone = [
            Entry(gateway, user_id, status)
            for user_id, at in self._people.items()
            for gateway, status in at.items()
            if gateway in gateways
        ]
        return gone, [shown for e in gone for shown in self.told(e.gateway, e.user_id, "offline", last_seen)]

    def replaced(self, entries: Iterable[Entry]) -> list[Shown]:
        """These entries and no others hold: some changes were not heard."""
        before = list(self._people)
        self._people = {}
        for entry in entries:
            self._people.setdefault(entry.user_id, {})[entry.gateway] = entry.status
        return [shown for user_id in dict.fromkeys([*before, *self._people]) for shown in self._look(user_id, None)]

    def _look(self, user_id: str, last_seen: datetime | None) -> list[Shown]:
        """What follows for the watchers from what is now known of someone."""
        statuses = self._people.get(user_id)
        if statuses:
            if user_id not in self._shown and len(self._shown) >= self._most:
                self._waiting[user_id] = None
                return []
            self._waiting.pop(user_id, None)
            status: PresenceStatus = "online" if "online" in statuses.values() else "away"
            if self._shown.get(user_id) == status:
                return []
            self._shown[user_id] = status
            return [Shown(user_id, status)]
        self._people.pop(user_id, None)
        self._waiting.pop(user_id, None)
        if self._shown.pop(user_id, None) is None:
            return []
        following = next((waiting for waiting in self._waiting if self._people.get(waiting)), None)
        return [Shown(user_id, "offline", last_seen), *([] if following is None else self._look(following, None))]
