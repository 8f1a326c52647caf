"""A mail server for tests: takes what is sent to it, or refuses as it is told."""

import asyncio
import email
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.policy import default

from tests.running import DEADLINE_S


@dataclass
class Post:
    """Speaks as much SMTP (RFC 5321) as a client needs. `refusals` are answered, one each, before mail is taken."""

    mails: list[Message] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    tries: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("220 post ESMTP")
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            if verb == "MAIL":
                self.tries += 1
            if verb == "RCPT" and self.refusals:
                say(self.refusals.pop(0))
            elif verb == "DATA":
                say("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(email.message_from_bytes(raw.removesuffix(b".\r\n"), policy=default))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("250 post")
        writer.close()

    async def _wait(self, is_it: "re.Pattern[str]", to: str, count: int) -> Message:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = [m for m in self.mails if m["To"] == to and is_it.search(m["Subject"])]
                if len(found) >= count:
                    return found[count - 1]
                await asyncio.sleep(0.02)

    async def to(self, address: str, subject: str = "", count: int = 1) -> str:
        """The text of the mail with such a subject, the `count`-th to this address, once it has come."""
        mail = await self._wait(re.compile(subject), address, count)
        return str(mail.get_payload(decode=True).decode())  # type: ignore[union-attr]

    async def token(self, address: str, page: str, count: int = 1) -> str:
        """The token of the link to this page in the `count`-th mail of its kind."""
        text = await self.to(address, {"verify": "Confirm", "reset": "new password"}[page], count)
        (token,) = re.findall(rf"http://[^\s/]+/{page}#token=(\S+)", text)
        return str(token)


@asynccontextmanager
async def post_office(port: int = 0) -> AsyncIterator[tuple[Post, int]]:
    post = Post()
    server = await asyncio.start_server(post._serve, "127.0.0.1", port)
    try:
        yield post, server.sockets[0].getsockname()[1]
    finally:
        server.close()
