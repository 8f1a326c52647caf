"""The quick start as a person meets it: `chorus up` with the local language model, and a question."""

from collections.abc import Iterator

import aiohttp
import pytest

from tests.client import sign_up, socket, watch
from tests.running import Chorus, own_settings, port_settings, up


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chorus]:
    """What `chorus up` starts when nothing else is said."""
    data = tmp_path_factory.mktemp("quick-start")
    env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
    with up(env):
        yield Chorus(env, data, f"http://127.0.0.1:{env['CHORUS_MODEL_PORT']}/v1")


async def test_a_language_model_answers(quick_start: Chorus) -> None:
    """A real model's answer streams in several deltas, is kept, and says what it used."""
    async with aiohttp.ClientSession() as http:
        person = await sign_up(http, quick_start.url)
        conversation = await person.conversation()
        async with socket(quick_start.ws_url, person.access_token) as online:
            screen = await watch(online, conversation)
            sent = await online.send(conversation, "Count from one to ten.")
            finished = await online.finished(sent["run_id"], 60)

        assert finished["status"] == "completed"
        assert finished["last_seq"] > 3
        usage = finished["usage"]
        assert usage["source"] == "provider"
        assert usage["input_tokens"] > 5
        assert usage["output_tokens"] > 3
        assert (await person.messages(conversation))[-1]["content"] == screen.runs[sent["run_id"]].text
