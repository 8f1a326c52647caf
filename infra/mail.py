"""Mail to people, sent by SMTP in the background: no request waits for a mail server or fails with it.

What is handed in is tried again for as long as it may still be of use. It lives in memory, as its link must stand
nowhere else: a process that is killed loses what it had not sent, and people ask again. What is given up is told to the
log, without its text. With no server set, mail is printed to the log where the page is on this machine (development),
and elsewhere not sent.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, localtime, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog
from prometheus_client import Counter

from infra.settings import BadSetting
from schemas.ids import new_id

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 1_000
"""Mails; about 2 MB. Beyond it the newest is given up: a mail server that is away for so long is an operator's task."""
TRIES: Final = 8
FIRST_PAUSE_S: Final = 2.0
"""Doubled after each try: the last one comes about four minutes after the first. A link that arrives later has often
been asked for anew."""
_AT_ONCE: Final = 4
_SERVER_LIMIT_S: Final = 20.0
_DRAIN_S: Final = 2.5
"""Seconds that a stopping process gives to tries under way, and again to what waits."""
_PORTS: Final = {"smtp": 587, "smtps": 465}

_mails = Counter("chorus_mails", "Mails, by what became of them: sent, given_up, printed or unsent.", ["outcome"])


@dataclass(frozen=True)
class MailSettings:
    host: str | None = None
    """None: there is no server."""
    port: int = 587
    implicit_tls: bool = False
    """TLS from the first byte; otherwise STARTTLS, which only a server on this machine need not offer."""
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = "Chorus <chorus@localhost>"
    printed: bool = False
    """Whether mail is printed to the log where there is no server."""

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, public_url: str) -> "MailSettings":
        """Read `CHORUS_SMTP_URL` and `CHORUS_MAIL_FROM`.

        Raises:
            BadSetting: one of them cannot be used.
        """
        sender = env.get("CHORUS_MAIL_FROM") or cls.sender
        if "@" not in parseaddr(sender)[1] or not sender.isprintable():
            raise BadSetting(f"CHORUS_MAIL_FROM is {sender!r}: give an address, such as Chorus <chorus@example.org>")
        url = env.get("CHORUS_SMTP_URL", "")
        if not url:
            return cls(sender=sender, printed=is_loopback(urlsplit(public_url).hostname or ""))
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            parts, port = urlsplit(""), 0
        if not parts.hostname:  # the URL itself may hold a password
            raise BadSetting("CHORUS_SMTP_URL cannot be read: give smtp://user:password@host:587 or smtps://…:465")
        return cls(
            host=parts.hostname,
            port=port,
            implicit_tls=parts.scheme == "smtps",
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            sender=sender,
        )


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail; `id` makes its Message-ID, by which a reader knows one that comes twice."""

    id: str
    to: str
    subject: str
    text: str
    tries: int = 0

    def written(self, sender: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = formataddr(parseaddr(sender))
        message["To"] = self.to
        message["Subject"] = " ".join(self.subject.split())
        message["Date"] = format_datetime(localtime())
        message["Message-ID"] = f"<{self.id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.text)
        return message


class Mail:
    """Takes mail, and sends it while `run` does. `first_pause_s` is for tests."""

    def __init__(self, settings: MailSettings, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._settings = settings
        self._first_pause_s = first_pause_s
        self._waiting: asyncio.Queue[Letter] = asyncio.Queue()
        self._paused: dict[Letter, asyncio.TimerHandle] = {}
        """Those to be tried again. Nobody stands beside them: a mailbox that says "later" holds up no other's mail."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Take a mail to one address. Returns at once and never raises for what becomes of it.

        Args:
            subject: one line; what would begin another is made a space.
            text: plain text.
        """
        if self._settings.host is not None:
            self._take(Letter(new_id(), to, subject, text))
        elif self._settings.printed:
            _mails.labels("printed").inc()
            log.info("mail", to=masked(to), subject=subject, text=text)
        else:
            _mails.labels("unsent").inc()
            log.error("mail is not sent: CHORUS_SMTP_URL is not set", to=masked(to))

    async def run(self) -> None:
        """Send what is taken, until cancelled; then for a few seconds what is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.create_task(self._work())
        finally:
            await self._drain()

    def _take(self, letter: Letter) -> None:
        if self._waiting.qsize() + len(self._paused) < MOST_WAITING:
            self._waiting.put_nowait(letter)
        else:
            _given_up(letter, "too many are waiting")

    async def _work(self) -> None:
        while True:
            await self._deliver(await self._waiting.get())

    async def _deliver(self, letter: Letter) -> None:
        try:
            await self._try(letter)
        except (OSError, smtplib.SMTPException) as error:
            again = replace(letter, tries=letter.tries + 1)
            if again.tries == TRIES or not may_pass(error):
                _given_up(letter, said(error))
                return
            pause = self._first_pause_s * 2**letter.tries
            log.warning("mail is tried again", to=masked(letter.to), error=said(error), in_s=pause)
            self._paused[again] = asyncio.get_running_loop().call_later(pause, self._resume, again)
        else:
            _mails.labels("sent").inc()

    def _resume(self, letter: Letter) -> None:
        self._paused.pop(letter).cancel()
        self._take(letter)

    async def _try(self, letter: Letter) -> None:
        """One try, which may end though the process stops: cut in the middle it would be sent twice."""
        speaking = asyncio.ensure_future(asyncio.to_thread(hand_over, self._settings, letter))
        try:
            await asyncio.shield(speaking)
        except asyncio.CancelledError:
            await asyncio.wait({speaking}, timeout=_DRAIN_S)
            if not speaking.done() or speaking.exception() is not None:
                self._take(letter)
            raise

    async def _drain(self) -> None:
        for letter in list(self._paused):
            self._resume(letter)
        deadline = asyncio.get_running_loop().time() + _DRAIN_S
        while not self._waiting.empty():
            letter = self._waiting.get_nowait()
            try:
                async with asyncio.timeout_at(deadline):
                    await asyncio.to_thread(hand_over, self._settings, letter)
                _mails.labels("sent").inc()
            except TimeoutError:
                _given_up(letter, "the process stops")
            except (OSError, smtplib.SMTPException) as error:
                _given_up(letter, said(error))


def hand_over(settings: MailSettings, letter: Letter) -> None:
    """Give one mail to the server: blocks for as long as that takes, 20 s for each word of the server's at most.

    Raises:
        OSError, smtplib.SMTPException: it was not taken; `may_pass` says whether it may be another time.
    """
    assert settings.host is not None
    tls = ssl.create_default_context()
    server: smtplib.SMTP
    if settings.implicit_tls:
        server = smtplib.SMTP_SSL(settings.host, settings.port, timeout=_SERVER_LIMIT_S, context=tls)
    else:
        server = smtplib.SMTP(settings.host, settings.port, timeout=_SERVER_LIMIT_S)
    with server:
        if not settings.implicit_tls and not is_loopback(settings.host):
            server.starttls(context=tls)
        if settings.user:
            server.login(settings.user, settings.password)
        server.send_message(letter.written(settings.sender))


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: what a server refuses for good (5xx) it refuses again."""
    codes = [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
    return not any(code >= 500 for code in codes)


def said(error: Exception) -> str:
    """What a server said may repeat the recipient, so only its code is told."""
    code = getattr(error, "smtp_code", None)
    return type(error).__name__ if code is None else f"{type(error).__name__} {code}"


def _given_up(letter: Letter, error: str) -> None:
    _mails.labels("given_up").inc()
    log.error("mail is given up", to=masked(letter.to), mail_id=letter.id, error=error)


def masked(address: str) -> str:
    """Enough to find a mail by, too little to collect addresses from a log."""
    local, _, domain = address.rpartition("@")
    return f"{local[:2]}…@{domain}"
