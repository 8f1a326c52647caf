"""Mails notifications that nobody has read on a screen, to those who want that.

What is claimed and not noted, because whoever claimed it died, is mailed again, with the same Message-ID.
"""

import asyncio
import smtplib
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter

from infra import effects, notifications, postgres
from infra.mail import Letter, MailSettings, hand_over, masked, may_pass, said
from infra.notifications import Mailing
from infra.patience import patiently

if TYPE_CHECKING:
    import asyncpg

LOOK_S: Final = 5.0
"""Seconds between looks: nobody waits for a mail that comes after minutes anyway."""
AT_ONCE: Final = 4
LEASE_S: Final = 300.0
"""Seconds after which a mail that nobody has noted is sent again: more than a server may take."""
RETRIES_S: Final = (60.0, 300.0, 1_800.0, 7_200.0, 21_600.0)
"""Seconds from each failed try to the next; after the last it is given up."""

_SUBJECT: Final = "News on Chorus"
# Nothing stands in a mail that somebody could have written as they like: anybody can be let into a project of any name.
_TEXTS: Final = {
    "mention": "Somebody mentioned you in a conversation.",
    "answer": "An answer to a question of yours has ended.",
    "invitation": "You were let into a project.",
    "budget": "There is news of a budget in one of your projects.",
    "deployment": "There is news of a deployment in one of your projects.",
    "training": "There is news of a training in one of your projects.",
}
_MAIL: Final = """\
{what}

See it here: {link}

You get this because you asked for mail of this kind. What you get is said in your preferences.
"""

log = structlog.get_logger(__name__)

_mails = Counter("chorus_notification_mails_total", "Notifications mailed, by what became of it", ["outcome"])


class Mailer:
    """Mails what is due.

    Args:
        public_url: where the page is, without a slash at its end.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", settings: MailSettings, public_url: str) -> None:
        effects.check("mailing people")
        self._pool = pool
        self._settings = settings
        self._public_url = public_url

    async def run(self) -> None:
        """Mail until cancelled, however long PostgreSQL or the mail server are away."""
        while True:
            due = await patiently("PostgreSQL", postgres.AWAY, self._claim)
            await asyncio.gather(*map(self._mail, due))
            if len(due) < AT_ONCE:
                await asyncio.sleep(LOOK_S)

    async def _claim(self) -> list[Mailing]:
        async with self._pool.acquire() as connection:
            return await notifications.to_mail(connection, LEASE_S, AT_ONCE)

    async def _mail(self, mailing: Mailing) -> None:
        outcome, again_s = await self._send(mailing)

        async def note() -> None:
            async with self._pool.acquire() as connection:
                await notifications.mailed(connection, mailing.id, again_s)

        await patiently("PostgreSQL", postgres.AWAY, note)
        _mails.labels(outcome).inc()

    async def _send(self, mailing: Mailing) -> tuple[str, float | None]:
        """What became of it, and in how many seconds it is tried again."""
        if mailing.address is None:
            return "not_needed", None
        text = _MAIL.format(what=_TEXTS[mailing.kind], link=self._public_url)
        letter = Letter(mailing.id, mailing.address, _SUBJECT, text)
        if self._settings.host is None:
            if self._settings.printed:
                log.info("mail", to=masked(letter.to), subject=letter.subject, text=text)
                return "printed", None
            log.error("mail is not sent: CHORUS_SMTP_URL is not set", to=masked(letter.to))
            return "unsent", None
        try:
            await asyncio.to_thread(hand_over, self._settings, letter)
        except (OSError, smtplib.SMTPException) as error:
            if may_pass(error) and mailing.tries < len(RETRIES_S):
                log.warning("mail is tried again", to=masked(letter.to), error=said(error))
                return "tried_again", RETRIES_S[mailing.tries]
            log.error("mail is given up", to=masked(letter.to), mail_id=letter.id, error=said(error))
            return "given_up", None
        return "sent", None
