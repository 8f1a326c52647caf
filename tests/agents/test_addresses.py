"""Where agents of strangers may be: nowhere that only our own machines can reach."""

from typing import Any

import pytest

from agents.openai_http import OpenAIHTTP, http_session
from agents.provider import ChatMessage, Prompt, ProviderError, Trouble
from infra.addresses import is_public
from tests.agents.conftest import ScriptedHTTP

INSIDE = {
    "IPv4": "127.0.0.1 127.8.9.10 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.127.255.254 192.0.2.1",
    "reserved": "0.0.0.0 198.18.0.1 203.0.113.7 224.0.0.1 240.0.0.1 255.255.255.255",
    "IPv6": "::1 :: fe80::1 fe80::1%eth0 fc00::1 fd12:3456::1 ff02::1 2001:db8::1",
    "mapped": "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe ::127.0.0.1",
    "tunnels": "2002:7f00:1::1 2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "none": "localhost 2130706433 0x7f.1",
}
OUTSIDE = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PROMPT = Prompt(messages=[ChatMessage("user", "hello")])


@pytest.mark.parametrize("kind", INSIDE)
def test_what_is_inside_is_not_public(kind: str) -> None:
    """Private, shared, local, reserved and documentation addresses, in IPv4 and in everything that carries IPv4."""
    assert [address for address in INSIDE[kind].split() if is_public(address)] == []


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is_outside_is_public(address: str) -> None:
    """Whom anybody can call, our agents can."""
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]"])
async def test_nobody_inside_is_called(scripted_http: ScriptedHTTP, host: str) -> None:
    """However the address is written, and whatever its name resolves to: the call fails before a byte is sent."""
    port = scripted_http.url.rpartition(":")[2]
    async with http_session(public_only=True) as outside:
        agent = OpenAIHTTP(outside, f"http://{host}:{port}/v1", "scripted", api_key="sk-theirs", connect_s=2)
        with pytest.raises(ProviderError) as caught:
            await anext(agent.stream(PROMPT))

    assert caught.value.trouble == Trouble.NO_AGENT
    assert host.strip("[]") not in str(caught.value)
    assert (await scripted_http.stats())["calls"] == []


async def test_a_name_that_changes_is_judged_each_time(
    scripted_http: ScriptedHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a name resolves to is judged where it is connected to: one that was public a moment ago does not help."""
    resolved: list[str] = []

    async with http_session(public_only=True) as outside:
        connector: Any = outside.connector

        async def resolve(host: str, port: int, family: int) -> list[dict[str, Any]]:
            resolved.append(host)
            return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

        monkeypatch.setattr(connector._resolver, "resolve", resolve)
        port = scripted_http.url.rpartition(":")[2]
        agent = OpenAIHTTP(outside, f"http://rebinds.example:{port}/v1", "m", api_key=None, connect_s=2)
        with pytest.raises(ProviderError):
            await anext(agent.stream(PROMPT))

    assert resolved == ["rebinds.example"]
    assert (await scripted_http.stats())["calls"] == []
