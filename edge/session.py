"""One client's conversation with the gateway, as a state machine without sockets or clocks.

Frames, outcomes and the time go in; effects come out, to be carried out in their order. A command becomes a `Perform`;
its outcome goes back in through `performed` or `refused`, and comes out as the one reply that every command gets.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import msgspec

from edge.errors import Refused, invalid
from edge.limits import Bucket
from edge.settings import SessionSettings
from schemas import frames
from schemas.frames import MAX_CONTENT_CHARACTERS, MAX_FRAME_BYTES, CloseCode, ErrorCode


@dataclass(frozen=True, slots=True)
class Send:
    """Write this text frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close with this code; nothing follows."""

    code: CloseCode


@dataclass(frozen=True, slots=True)
class Join:
    """Someone has proved who they are: admit them (`welcome`) or turn them away (`turn_away`)."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Renew:
    """They have a token of another sign-in of theirs: see that it goes on, and hand this to `renewed`, or refuse it."""

    id: int
    sign_in_id: str
    lifetime_s: float


@dataclass(frozen=True, slots=True)
class Perform:
    """Carry out a command and hand its outcome to `performed` or `refused`."""

    frame: frames.ClientFrame


Effect = Send | Close | Join | Renew | Perform

_IDS: Final = (
    "conversation_id",
    "project_id",
    "agent_id",
    "client_message_id",
    "message_id",
    "run_id",
    "edits",
    "up_to",
)
_GREATEST_ID: Final = 2**53 - 1
_PING: Final = Send(msgspec.json.encode(frames.ServerPing()))


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a verified token says. `lifetime_s` is how many seconds it is still good for."""

    user_id: str
    sign_in_id: str
    lifetime_s: float


class _State(Enum):
    NEW = auto()
    JOINING = auto()
    OPEN = auto()
    CLOSED = auto()


class Session:
    """The state of one connection.

    Args:
        verify: says who a token speaks for, without I/O; raises `Refused`.
        offered: the token that came with the upgrade, if one did.
        now: seconds on any clock that only goes forward, as everywhere below.

    Attributes:
        due: when `tick` next has something to do.
        user_id: who it is, once they have said hello.
        sign_in_id: the sign-in that their token came from.
        resume: the conversations that `hello` wants back.
    """

    __slots__ = (
        "_commands", "_expires", "_heard", "_hello_id", "_offered", "_opened", "_pinged", "_refusals", "_settings",
        "_state", "_statuses", "_verify", "due", "id", "resume", "sign_in_id", "user_id",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        settings: SessionSettings,
        verify: Callable[[str], Credentials],
        *,
        offered: str | None = None,
        now: float,
    ) -> None:
        self.id = id
        self.user_id = self.sign_in_id = ""
        self.resume: list[frames.ResumePoint] = []
        self._settings = settings
        self._verify = verify
        self._offered = offered
        self._state = _State.NEW
        self._hello_id = 0
        self._opened = self._heard = self._pinged = now
        self._expires = 0.0
        self._commands = Bucket(settings.commands, now)
        self._refusals: Bucket | None = None
        self._statuses: Bucket | None = None
        self.due = now + settings.hello_within_s

    @property
    def closed(self) -> bool:
        return self._state is _State.CLOSED

    # -- what comes in --

    def received(self, data: str | bytes, now: float) -> list[Effect]:
        """A frame from the client."""
        if self._state is _State.CLOSED:
            return []
        self._heard = now
        try:
            frame = decode(data)
        except Malformed:
            return self.close(CloseCode.MALFORMED)
        except _Invalid as error:
            return self._limited(error.id, now) or [_error(error.id, error.refused)]
        if wait := self._limited(frame.id, now):
            return wait
        match frame:
            case frames.Ping():
                return [] if frame.id is None else [_reply(frame.id)]
            case frames.Hello():
                return self._hello(frame, now)
            case _ if self._state is not _State.OPEN:
                return [_error(frame.id, Refused(ErrorCode.UNAUTHENTICATED, "Say hello first."))]
            case frames.TokenRefresh():
                return self._refresh(frame, now)
            case _ if now >= self._expires:
                return [_error(frame.id, Refused(ErrorCode.TOKEN_EXPIRED))]
            case frames.PresenceSet():
                return self._set_presence(frame, now)
            case _:
                return [Perform(frame)]

    def performed(self, id: int, outcome: msgspec.Struct | Mapping[str, Any] | None = None) -> list[Effect]:
        """A command was carried out; `outcome` holds the fields of its reply."""
        return [] if self.closed else [_reply(id, outcome)]

    def refused(self, id: int, refused: Refused) -> list[Effect]:
        """A command was not carried out."""
        return [] if self.closed else [_error(id, refused)]

    def tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        settings = self._settings
        if self._state in (_State.NEW, _State.JOINING):
            return self.close(CloseCode.NO_HELLO) if now >= self._opened + settings.hello_within_s else []
        if self._state is _State.CLOSED:
            return []
        if now >= self._expires + settings.expiry_grace_s:
            return self.close(CloseCode.TOKEN_EXPIRED)
        if now >= self._heard + 2 * settings.ping_interval_s:
            return self.close(CloseCode.NO_PONG)
        effects: list[Effect] = []
        if now >= self._pinged + settings.ping_interval_s:
            self._pinged = now
            effects.append(_PING)
        self._schedule()
        return effects

    # -- hello --

    def _hello(self, frame: frames.Hello, now: float) -> list[Effect]:
        if self._state is not _State.NEW:
            return [_error(frame.id, invalid(type="hello was said before"))]
        token = frame.token if frame.token is not None else self._offered
        self._offered = None
        try:
            if token is None:
                raise Refused(ErrorCode.UNAUTHENTICATED)
            credentials = self._verify(token)
        except Refused as refused:
            expired = refused.code is ErrorCode.TOKEN_EXPIRED
            code = CloseCode.TOKEN_EXPIRED if expired else CloseCode.BAD_TOKEN
            return [_error(frame.id, refused), *self.close(code)]
        self._state = _State.JOINING
        self._hello_id = frame.id
        self._expires = now + credentials.lifetime_s
        self.user_id, self.sign_in_id = credentials.user_id, credentials.sign_in_id
        self.resume = frame.resume
        return [Join(credentials.user_id)]

    def welcome(self, now: float) -> list[Effect]:
        """The person is admitted."""
        if self._state is not _State.JOINING:
            return []
        self._state = _State.OPEN
        self._schedule()
        settings = self._settings
        return [
            _reply(
                self._hello_id,
                {
                    "session_id": self.id,
                    "user": {"id": self.user_id},
                    "token_expires_in": max(0, int(self._expires - now)),
                    "ping_interval": settings.ping_interval_s,
                    "reconnect_jitter_ms": settings.reconnect_jitter_ms,
                    "limits": {
                        "frame_bytes": MAX_FRAME_BYTES,
                        "content_characters": MAX_CONTENT_CHARACTERS,
                        "commands_per_s": settings.commands.per_s,
                        "commands_burst": settings.commands.burst,
                    },
                },
            )
        ]

    def turn_away(self, refused: Refused, code: CloseCode, id: int | None = None) -> list[Effect]:
        """The person is not admitted, or with `id` does not stay after that command."""
        return [*self.refused(self._hello_id if id is None else id, refused), *self.close(code)]

    def _refresh(self, frame: frames.TokenRefresh, now: float) -> list[Effect]:
        try:
            credentials = self._verify(frame.token)
            if credentials.user_id != self.user_id:
                raise Refused(ErrorCode.UNAUTHENTICATED, "This token is another person's.")
        except Refused as refused:
            error = _error(frame.id, refused)
            return [error] if refused.code is ErrorCode.TOKEN_EXPIRED else [error, *self.close(CloseCode.BAD_TOKEN)]
        renew = Renew(frame.id, credentials.sign_in_id, credentials.lifetime_s)
        # Had this sign-in ended, the connection would have, too.
        return self.renewed(renew, now) if renew.sign_in_id == self.sign_in_id else [renew]

    def renewed(self, renew: Renew, now: float) -> list[Effect]:
        """The token is good: the connection lives as long as it."""
        if self.closed:
            return []
        self.sign_in_id = renew.sign_in_id
        self._expires = now + renew.lifetime_s
        self._schedule()
        return [_reply(renew.id, {"token_expires_in": int(renew.lifetime_s)})]

    def _set_presence(self, frame: frames.PresenceSet, now: float) -> list[Effect]:
        # Told in every conversation that the connection follows, hence an allowance of its own.
        if self._statuses is None:
            self._statuses = Bucket(self._settings.statuses, now)
        if wait := self._statuses.take(now):
            return [_error(frame.id, Refused(ErrorCode.RATE_LIMITED, retry_after_ms=max(1, round(wait * 1000))))]
        return [Perform(frame)]

    # -- going away --

    def goodbye(self, reason: str, reconnect_in_ms: int) -> list[Effect]:
        """Announce a planned close."""
        if self.closed:
            return []
        return [Send(msgspec.json.encode(frames.Goodbye(reason=reason, reconnect_in_ms=reconnect_in_ms)))]

    def close(self, code: CloseCode) -> list[Effect]:
        """End it; nothing comes out any more."""
        if self.closed:
            return []
        self._state = _State.CLOSED
        return [Close(code)]

    def lost(self) -> None:
        """The connection is gone."""
        self._state = _State.CLOSED

    # -- limits --

    def _limited(self, id: int | None, now: float) -> list[Effect]:
        wait = self._commands.take(now)
        if not wait:
            return []
        if self._refusals is None:
            self._refusals = Bucket(self._settings.refusals, now)
        refusal = _error(id, Refused(ErrorCode.RATE_LIMITED, retry_after_ms=max(1, round(wait * 1000))))
        if self._refusals.take(now):
            return [refusal, *self.close(CloseCode.TOO_MANY_REQUESTS)]
        return [refusal]

    def _schedule(self) -> None:
        # The next ping comes before the silence after it can be too long, so looking then is soon enough.
        self.due = min(
            self._pinged + self._settings.ping_interval_s,
            self._heard + 2 * self._settings.ping_interval_s,
            self._expires + self._settings.expiry_grace_s,
        )


# -- frames in --


class Malformed(ValueError):
    """No JSON object in UTF-8: whoever sends this does not speak the protocol."""


class _Invalid(ValueError):
    def __init__(self, id: int | None, refused: Refused) -> None:
        super().__init__(str(refused))
        self.id = id
        self.refused = refused


_FIELD = re.compile(r"`\$\.(.*?)`$")
_MISSING = re.compile(r"required field `(.*?)`(?: - at `\$\.(.*?)`)?$")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(data: str | bytes) -> frames.ClientFrame:
    """Read a frame, ids in their canonical form."""
    if isinstance(data, bytes):
        raise Malformed("a binary frame")
    try:
        frame: frames.ClientFrame = frames.decode_client_frame(data)
    except msgspec.ValidationError as error:
        raise _invalid_frame(data, str(error)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _invalid_frame(data, None) from error
    if abs(frame.id or 0) > _GREATEST_ID:
        raise _Invalid(None, invalid(id="greater than a JavaScript number holds exactly"))
    odd: dict[str, Any] = {
        name: found.lower()
        for name in _IDS
        if isinstance(found := getattr(frame, name, None), str) and found != found.lower()
    }
    if isinstance(frame, frames.Hello) and any(p.conversation_id != p.conversation_id.lower() for p in frame.resume):
        odd["resume"] = [msgspec.structs.replace(p, conversation_id=p.conversation_id.lower()) for p in frame.resume]
    return msgspec.structs.replace(frame, **odd) if odd else frame


def _invalid_frame(data: str, why: str | None) -> Exception:
    # The slow way, for frames that are wrong: find out whose reply it is and which field to name.
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return Malformed("no JSON")
    if not isinstance(found, dict):
        return Malformed("no object")
    id = found.get("id")
    id = id if isinstance(id, int) and not isinstance(id, bool) and abs(id) <= _GREATEST_ID else None
    if why is None:
        # Python's own reader takes what JSON's grammar allows and Unicode does not: half a surrogate pair.
        name = next((n for n, v in found.items() if _LONE_SURROGATE.search(json.dumps(v, ensure_ascii=False))), "")
        return _Invalid(id, invalid(**{name or "frame": "not Unicode text: half of a surrogate pair"}))
    if missing := _MISSING.search(why):
        field, inside = missing.groups()
        name = f"{inside}.{field}" if inside else field
        return _Invalid(id, invalid(**{name: "missing"}))
    at = _FIELD.search(why)
    if at is not None and at[1] == "type":
        return _Invalid(id, invalid(type="no command of this name"))
    return _Invalid(id, invalid(**{at[1] if at else "frame": why.rpartition(" - at ")[0] or why}))


# -- frames out --


def _reply(id: int, outcome: msgspec.Struct | Mapping[str, Any] | None = None) -> Send:
    fields = b"{}" if outcome is None else msgspec.json.encode(outcome)
    rest = b"}" if fields == b"{}" else b"," + fields[1:]
    return Send(b'{"id":%d,"ok":true%b' % (id, rest))


def _error(id: int | None, refused: Refused) -> Send:
    return Send(msgspec.json.encode({"id": id, "ok": False, "error": _error_fields(refused)}))


def _error_fields(refused: Refused) -> dict[str, Any]:
    error: dict[str, Any] = {"code": refused.code, "message": refused.message, "retryable": refused.retryable}
    if refused.retry_after_ms is not None:
        error["retry_after_ms"] = refused.retry_after_ms
    if refused.fields:
        error["fields"] = refused.fields
    return error


def subscribed(conversation_id: str, outcome: frames.SubscribeReply | Refused) -> bytes:
    """The push that says what came of one of the conversations that `hello` wanted back."""
    if isinstance(outcome, Refused):
        fields = msgspec.json.encode({"error": _error_fields(outcome)})
    else:
        fields = msgspec.json.encode(outcome)
    return b'{"type":"subscribed","conversation_id":"%b",%b' % (conversation_id.encode(), fields[1:])
