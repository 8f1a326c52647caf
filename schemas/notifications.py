"""What people are told of when they were not looking."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from schemas.ids import Uuid


class Kind(StrEnum):
    """Why somebody is told."""

    MENTION = "mention"
    ANSWER = "answer"
    INVITATION = "invitation"
    BUDGET = "budget"
    DEPLOYMENT = "deployment"
    TRAINING = "training"


class Wishes(Struct, frozen=True, kw_only=True):
    """By which channels a person wants one kind of notification, unless they say otherwise."""

    app: bool = True
    """On their screens."""
    webhook: bool = True
    """Through the webhooks of the project that it is about."""
    email: bool = False
    """To their address, once they have proven it, where they have not read it on a screen by then."""


class Notice(Struct, frozen=True, kw_only=True):
    """One thing that one person is to be told of, once.

    Attributes:
        id: follows from what it tells of (`schemas.ids.notification_id`), so that telling it again changes nothing.
        occurred_at: when that happened.
        data: ids, numbers and words of ours that say what it is about; never what a person wrote.
    """

    id: Uuid
    user_id: Uuid
    kind: Kind
    project_id: Uuid
    occurred_at: datetime
    data: dict[str, str | int]
