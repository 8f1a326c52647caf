"""The clients that are generated from the OpenAPI document: current, typed, and good for a whole journey."""

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from clients import generate
from tests.running import ROOT, Chorus

PACKAGE = ROOT / "clients" / "python"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `chorus_client` be imported from where it lies."""
    monkeypatch.syspath_prepend(str(PACKAGE))


def test_what_is_generated_is_current() -> None:
    """The committed document and client say what the code says; else: python -m clients.generate."""
    for path, text in generate.generated().items():
        assert (ROOT / path).read_text() == text, f"{path} is old: python -m clients.generate"


def test_the_client_is_typed(tmp_path: Path) -> None:
    """A checker finds no fault in the client, and finds the fault of whoever uses it wrongly."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from chorus_client.api import Api\n"
        "async def main(chorus: Api) -> int:\n"
        "    return (await chorus.get_users_me()).display_name\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(wrong)],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
    )
    assert checked.stdout.count("error:") == 1, checked.stdout
    assert 'wrong.py:3: error: Incompatible return value type (got "str", expected "int")' in checked.stdout


@pytest.mark.usefixtures("client")
async def test_a_journey(chorus: Chorus) -> None:
    """Sign up, talk, read, rename, be refused: every answer is of the type that it is said to be."""
    from chorus_client.api import Api, Conversation, ConversationChange, NewConversation, NewMessage, SignUp
    from chorus_client.calling import Problem

    async with Api(chorus.url) as api:
        signed_in = await api.post_auth_register(
            SignUp(email=f"{uuid4()}@example.org", password="correct horse battery", display_name="Ada")
        )
        api.access_token = signed_in.access_token
        assert (await api.get_users_me()).display_name == "Ada"
        project = (await api.get_projects(limit=1)).data[0]
        conversation = await api.post_project_conversations(project.id, NewConversation(title="First"))
        assert isinstance(conversation, Conversation)  # else it is only named: it is not yet readable
        sent = await api.post_conversation_messages(
            conversation.id, NewMessage(client_message_id=str(uuid4()), content="hello", agent_id=None)
        )
        renamed = await api.patch_conversation(conversation.id, ConversationChange(title="Renamed"))
        assert isinstance(renamed, Conversation)
        assert renamed.title == "Renamed"
        messages = (await api.get_conversation_messages(conversation.id)).data
        assert [message.id for message in messages] == [sent.message_id]
        with pytest.raises(Problem) as missing:
            await api.get_conversation("../" + str(uuid4()))
        assert missing.value.code in ("not_found", "invalid")
        with pytest.raises(Problem) as empty:
            await api.post_conversation_messages(
                conversation.id, NewMessage(client_message_id=str(uuid4()), content="")
            )
        assert (empty.value.status, list(empty.value.errors)) == (422, ["content"])
        api.access_token = "nonsense"
        with pytest.raises(Problem, match="unauthenticated"):
            await api.get_users_me()
