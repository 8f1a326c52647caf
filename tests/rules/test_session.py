"""The session: frames, outcomes and time in, effects out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import Refused
from edge.limits import Bucket, Rate
from edge.session import Close, Credentials, Effect, Join, Perform, Renew, Send, Session
from edge.settings import SessionSettings
from schemas import frames
from schemas.frames import CloseCode, ErrorCode

ADA, BOB = "0" * 8 + "-0000-4000-8000-" + "a" * 12, "0" * 8 + "-0000-4000-8000-" + "b" * 12
TALK = "11111111-1111-4111-8111-111111111111"
SETTINGS = SessionSettings()


def verify(token: str) -> Credentials:
    if token == "expired":
        raise Refused(ErrorCode.TOKEN_EXPIRED)
    if token not in ("ada", "ada elsewhere", "bob"):
        raise Refused(ErrorCode.UNAUTHENTICATED)
    return Credentials(ADA if token.startswith("ada") else BOB, token, 3600.0)


def new_session(offered: str | None = None, **settings: Any) -> Session:
    return Session("session", SessionSettings(**settings), verify, offered=offered, now=0.0)


def joined(**settings: Any) -> Session:
    session = new_session(**settings)
    assert session.received('{"id":0,"type":"hello","token":"ada"}', 0.0) == [Join(ADA)]
    session.welcome(0.0)
    return session


def shown(effects: list[Effect]) -> list[Any]:
    """Effects in short: frames as objects, closes as their codes."""
    return [json.loads(e.data) if isinstance(e, Send) else e.code if isinstance(e, Close) else e for e in effects]


def error(effects: list[Effect]) -> tuple[Any, str, set[str]]:
    """Id, code and named fields of the one error among the effects."""
    [frame] = [f for f in shown(effects) if isinstance(f, dict)]
    assert frame["ok"] is False
    return frame["id"], frame["error"]["code"], set(frame["error"].get("fields", ()))


def frame(type: str, id: object = 7, **fields: object) -> str:
    return json.dumps({"id": id, "type": type, **fields})


# -- hello --


def test_hello_is_answered_with_what_a_client_must_know() -> None:
    """The reply to hello says who it is, how long the token lives, and the limits."""
    session = new_session()
    session.received(frame("hello", token="ada"), 1.0)
    [reply] = shown(session.welcome(1.0))

    assert (reply["id"], reply["ok"], reply["user"], reply["token_expires_in"]) == (7, True, {"id": ADA}, 3600)
    assert reply["ping_interval"] == SETTINGS.ping_interval_s
    assert reply["limits"]["content_characters"] == 16_000


def test_a_token_may_come_with_the_upgrade() -> None:
    """Hello needs no token where the upgrade carried one."""
    assert new_session("bob").received(frame("hello"), 0.0) == [Join(BOB)]


@pytest.mark.parametrize(
    ("token", "code", "close"),
    [
        pytest.param("forged", "unauthenticated", CloseCode.BAD_TOKEN, id="wrong"),
        pytest.param("", "unauthenticated", CloseCode.BAD_TOKEN, id="empty"),
        pytest.param(None, "unauthenticated", CloseCode.BAD_TOKEN, id="none"),
        pytest.param("expired", "token_expired", CloseCode.TOKEN_EXPIRED, id="expired"),
    ],
)
def test_hello_with_a_bad_token(token: str | None, code: str, close: CloseCode) -> None:
    """A bad token is told and closes for good; an expired one closes so that the client comes back with another."""
    fields = {} if token is None else {"token": token}
    effects = new_session().received(frame("hello", **fields), 0.0)

    assert error(effects)[1] == code
    assert effects[-1] == Close(close)


def test_no_hello_in_time() -> None:
    """Who says nothing for 10 seconds is closed with 4502, not a moment earlier."""
    session = new_session()

    assert session.due == 10.0
    assert session.tick(9.9) == []
    assert session.tick(10.0) == [Close(CloseCode.NO_HELLO)]


def test_commands_before_hello_are_refused() -> None:
    """Nothing is done for a stranger; hello may still follow."""
    session = new_session()

    assert error(session.received(frame("subscribe", conversation_id=TALK), 0.0))[:2] == (7, "unauthenticated")
    assert session.received(frame("hello", token="ada"), 0.0) == [Join(ADA)]


def test_a_second_hello_is_invalid() -> None:
    """Who has said hello stays who they are."""
    assert error(joined().received(frame("hello", token="bob"), 0.0))[1] == "invalid"


def test_turned_away() -> None:
    """Who has too many connections is told, and closed with 4504."""
    session = new_session()
    session.received(frame("hello", token="ada"), 0.0)
    effects = session.turn_away(Refused(ErrorCode.RATE_LIMITED), CloseCode.TOO_MANY_CONNECTIONS)

    assert effects[-1] == Close(CloseCode.TOO_MANY_CONNECTIONS)


# -- bad frames --


@pytest.mark.parametrize(
    "data",
    ["", "{", "[]", "1", "null", '"hello"', b"{}", '{"id":1}{"id":2}', "[" * 50_000, "\0", f'{{"id":{"9" * 5000}}}'],
    ids=range(11),
)
def test_malformed_frames_close(data: str | bytes) -> None:
    """What is no JSON object in a text frame closes with 4501."""
    assert joined().received(data, 1.0) == [Close(CloseCode.MALFORMED)]


@pytest.mark.parametrize(
    ("data", "id", "field"),
    [
        pytest.param('{"id":7}', 7, "type", id="no type"),
        pytest.param('{"id":7,"type":"sing"}', 7, "type", id="unknown type"),
        pytest.param('{"id":7,"type":3}', 7, "type", id="type no text"),
        pytest.param(json.dumps({"type": "unsubscribe", "conversation_id": TALK}), None, "id", id="no id"),
        pytest.param('{"id":"7","type":"ping"}', None, "id", id="id no number"),
        pytest.param('{"id":true,"type":"ping"}', None, "id", id="id a truth"),
        pytest.param(frame("ping", 2**53), None, "id", id="id too great"),
        pytest.param(frame("subscribe"), 7, "conversation_id", id="missing"),
        pytest.param(frame("subscribe", conversation_id=None), 7, "conversation_id", id="null"),
        pytest.param(frame("subscribe", conversation_id="x"), 7, "conversation_id", id="no UUID"),
        pytest.param(frame("subscribe", conversation_id=TALK + "1"), 7, "conversation_id", id="UUID too long"),
        pytest.param(
            frame("subscribe", conversation_id=TALK, runs={"a": {"attempt": -1, "seq": 0}}), 7, "runs[...].attempt",
            id="inside",
        ),
        pytest.param(
            frame("hello", resume=[{"cursor": "x"}]), 7, "resume[0].conversation_id", id="missing inside"
        ),
        pytest.param(
            frame("conversation.create", project_id=TALK, title="x" * 201), 7, "title", id="title too long"
        ),
        pytest.param(frame("conversation.update", conversation_id=TALK, archived="yes"), 7, "archived", id="no truth"),
        pytest.param(
            frame("message.send", conversation_id=TALK, client_message_id=TALK, content=5), 7, "content", id="no text"
        ),
        pytest.param(
            frame("message.send", conversation_id=TALK, client_message_id=TALK, content="a\ud800"),
            7,
            "content",
            id="lone surrogate",
        ),
    ],
)  # fmt: skip
def test_wrong_frames_name_the_field(data: str, id: int | None, field: str) -> None:
    """A frame that is JSON but wrong gets `invalid` with its id, as far as it can be read, and the field's name."""
    if '"hello"' in data:
        assert error(new_session().received(data, 1.0)) == (id, "invalid", {field})
        return
    assert error(joined().received(data, 1.0)) == (id, "invalid", {field})


def test_ids_are_taken_in_any_case() -> None:
    """UUIDs are compared in one form, however the client writes them."""
    session = joined()
    big = "ABCDEFAB-1111-4111-8111-111111111111"
    [perform] = session.received(frame("subscribe", conversation_id=big), 1.0)

    assert isinstance(perform, Perform)
    assert isinstance(perform.frame, frames.Subscribe)
    assert perform.frame.conversation_id == big.lower()


def test_unknown_fields_are_ignored() -> None:
    """A newer client may say more; a `user_id` or `role` that it claims means nothing."""
    [perform] = joined().received(frame("unsubscribe", conversation_id=TALK, user_id=BOB, role="owner"), 1.0)

    assert perform == Perform(frames.Unsubscribe(id=7, conversation_id=TALK))


# -- replies --


def test_ping_is_answered_only_where_it_has_an_id() -> None:
    """A ping with an id is a command; without one it is the answer to the server's own."""
    session = joined()

    assert shown(session.received('{"type":"ping","id":5}', 1.0)) == [{"id": 5, "ok": True}]
    assert session.received('{"type":"ping"}', 1.0) == []


def test_outcomes_become_replies() -> None:
    """What a command gave stands in its reply; a refusal says its code, and whether to try again."""
    session = joined()

    assert shown(session.performed(3, {"run_id": None})) == [{"id": 3, "ok": True, "run_id": None}]
    [refused] = shown(session.refused(4, Refused(ErrorCode.UNAVAILABLE)))
    assert refused["error"]["retryable"] is True
    assert (refused["id"], refused["error"]["code"]) == (4, "unavailable")


# -- tokens --


def test_refresh_keeps_the_socket() -> None:
    """A new token of the same person moves the end of the session."""
    session = joined()
    [reply] = shown(session.received(frame("token.refresh", token="ada"), 3000.0))

    assert reply["token_expires_in"] == 3600
    session.received('{"type":"ping"}', 3640.0)
    assert Close(CloseCode.TOKEN_EXPIRED) not in session.tick(3650.0)


def test_a_token_of_another_sign_in_is_looked_up() -> None:
    """It moves the end only once somebody has seen that its sign-in goes on; else the connection ends with 4503."""
    session = joined()
    [renew] = session.received(frame("token.refresh", token="ada elsewhere"), 3000.0)
    assert renew == Renew(7, "ada elsewhere", 3600.0)
    assert error(session.received(frame("subscribe", conversation_id=TALK), 3600.0))[1] == "token_expired"
    [reply] = shown(session.renewed(Renew(7, "ada elsewhere", 3600.0), 3600.0))
    assert (reply["id"], reply["token_expires_in"], session.sign_in_id) == (7, 3600, "ada elsewhere")

    effects = session.turn_away(Refused(ErrorCode.UNAUTHENTICATED), CloseCode.REVOKED, 8)
    assert (error(effects)[0], effects[-1]) == (8, Close(CloseCode.REVOKED))


@pytest.mark.parametrize("token", ["bob", "forged"])
def test_refresh_with_anothers_token_closes(token: str) -> None:
    """Another person's token, or a forged one, on an open socket closes 4500."""
    effects = joined().received(frame("token.refresh", token=token), 10.0)

    assert error(effects)[1] == "unauthenticated"
    assert effects[-1] == Close(CloseCode.BAD_TOKEN)


def test_expiry_has_a_grace() -> None:
    """An expired token ends commands at once and the connection after the grace, in which it can be refreshed."""
    session = joined()
    subscribe = frame("subscribe", conversation_id=TALK)

    assert error(session.received(subscribe, 3600.0))[1] == "token_expired"
    assert Close(CloseCode.TOKEN_EXPIRED) not in session.tick(3624.9)
    assert session.received(frame("token.refresh", token="ada"), 3624.9)
    assert isinstance(session.received(subscribe, 3625.0)[0], Perform)
    late = joined()
    late.received(frame("ping"), 3620.0)
    assert late.tick(3625.0) == [Close(CloseCode.TOKEN_EXPIRED)]


# -- silence --


def test_pings_and_silence() -> None:
    """A ping each interval; any frame is the answer; two silent intervals close 4012."""
    session = joined()

    assert session.due == 25.0
    assert shown(session.tick(25.0)) == [{"type": "ping"}]
    session.received('{"type":"ping"}', 26.0)
    assert shown(session.tick(50.0)) == [{"type": "ping"}]
    assert shown(session.tick(75.0)) == [{"type": "ping"}]
    assert session.due == 76.0
    assert session.tick(76.0) == [Close(CloseCode.NO_PONG)]


# -- limits --


def test_a_thousand_commands_in_a_second() -> None:
    """A thousand at once: some pass, the rest are told when to come back; who goes on is closed with 4013."""
    session = joined()
    effects = [session.received(frame("ping", n), 1.0 + n / 1000)[0] for n in range(1000)]
    frames_out = shown(effects)
    refused = [f for f in frames_out if not f["ok"]]

    assert 200 <= len(frames_out) - len(refused) <= 400
    assert {f["error"]["code"] for f in refused} == {"rate_limited"}
    assert all(f["error"]["retry_after_ms"] > 0 and f["error"]["retryable"] for f in refused)
    assert not session.closed
    more = [e for n in range(1000) for e in session.received(frame("ping", n), 2.0 + n / 1000)]
    assert more[-1] == Close(CloseCode.TOO_MANY_REQUESTS)


def test_the_allowance_comes_back() -> None:
    """Who waits as long as it was told passes."""
    session = joined()
    while (reply := shown(session.received(frame("ping"), 1.0))[0])["ok"]:
        pass

    wait_s = reply["error"]["retry_after_ms"] / 1000
    assert shown(session.received(frame("ping"), 1.0 + wait_s))[0]["ok"]


@given(st.lists(st.floats(0, 5), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(pauses: list[float]) -> None:
    """Over any stretch of time no more is taken than the burst and what grew in that time."""
    rate, now, taken = Rate(per_s=2.0, burst=5), 0.0, 0
    bucket = Bucket(rate, now)
    for pause in pauses:
        now += pause
        taken += bucket.take(now) == 0
        assert taken <= rate.burst + now * rate.per_s + 1e-6


# -- the end --


def test_goodbye_and_close() -> None:
    """A planned close is announced; after it nothing comes out."""
    session = joined()

    assert shown(session.goodbye("restart", 500)) == [{"type": "goodbye", "reason": "restart", "reconnect_in_ms": 500}]
    assert session.close(CloseCode.SHUTTING_DOWN) == [Close(CloseCode.SHUTTING_DOWN)]
    assert session.close(CloseCode.SHUTTING_DOWN) == []
    assert session.received(frame("ping"), 1.0) == session.tick(1000.0) == session.performed(1) == []


_texts = st.one_of(
    st.text(max_size=50),
    st.sampled_from(
        [
            frame("hello", token="ada"), frame("hello", token="forged"), frame("ping"), '{"type":"ping"}',
            frame("subscribe", conversation_id=TALK), frame("token.refresh", token="ada"),
            frame("token.refresh", token="bob"), frame("sing"), frame("subscribe"), "{", "[]",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "token"]), inner),
        max_leaves=6,
    ).map(json.dumps),
)  # fmt: skip


@given(st.lists(st.tuples(_texts | st.none(), st.floats(0, 40)), max_size=30))
def test_whatever_comes(steps: list[tuple[str | None, float]]) -> None:
    """Any frames at any times: every command gets one reply or one `Perform`, and nothing follows a close."""
    session, now, closed = new_session(), 0.0, False
    for text, pause in steps:
        now += pause
        effects = session.tick(now) if text is None else session.received(text, now)
        if closed:
            assert effects == []
        if Join(ADA) in effects:
            effects += session.welcome(now)
        closes = [e for e in effects if isinstance(e, Close)]
        assert len(closes) <= 1
        if closes:
            assert effects[-1] == closes[0]
            closed = True
        if text is not None and not closed and text.startswith('{"id": 7'):
            replies = [f for f in shown(effects) if isinstance(f, dict) and f.get("id") == 7]
            assert len(replies) + sum(isinstance(e, Perform) for e in effects) == 1
