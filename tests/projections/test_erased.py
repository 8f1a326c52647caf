"""What is written after a person was deleted, by a process that still remembers the key."""

from infra import history
from infra.keyring import Keyring
from infra.settings import KafkaSettings
from schemas import ids
from streams.workers.history import HistorySink
from tests.projections.conftest import Pool, delivered
from tests.projections.talk import Talk
from tests.running import Stack


async def test_a_key_that_is_remembered_brings_nothing_back(
    pool: Pool, keyring: Keyring, talk: Talk, stack: Stack
) -> None:
    """History that opens a text with a key destroyed meanwhile stores it, and a title, as deleted."""
    sink = HistorySink(pool, keyring, KafkaSettings.from_env(stack.env), ids.new_id())
    await sink.assigned({0: 0})
    await sink.handle_batch(delivered([talk.created("Bí mật"), talk.record(talk.posted("mật"))]))
    await pool.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", talk.key.owner_id
    )
    assert (await keyring.key(talk.key.owner_id)) is not None, "it is remembered here"

    await sink.handle_batch(delivered([talk.record(talk.posted("sau đó"))], offset=2))

    (_, before), (_, late) = await history.messages(pool, talk.conversation_id, limit=9)
    assert (before.content, before.deleted) == ("mật", False)
    assert (late.content, late.deleted) == ("", True)
    view = await history.load_view(pool, talk.conversation_id)
    assert view is not None
    assert view.title is None
