"""A conversation as a file: Markdown for people, JSON for programs. Pure: pieces of text, to be sent one by one."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import msgspec

from edge.branches import Place
from schemas import frames

FORMAT: Final = "chorus.conversation"
VERSION: Final = 1
"""Of the JSON file; fields are only ever added."""

UNTITLED: Final = "Untitled conversation"
_DELETED: Final = "*deleted*"
_LONGEST_NAME: Final = 80
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


@dataclass(frozen=True, slots=True)
class Said:
    """A message, who said it, and where it stands among its siblings."""

    message: frames.Message
    speaker: str
    place: Place


def filename(title: str | None, extension: str) -> str:
    """A name that every file system takes and no shell minds: words of the title, or `conversation`."""
    plain = _UNSAFE.sub("-", unicodedata.normalize("NFC", title or "").lower()).strip(".-_")[:_LONGEST_NAME]
    plain = plain.rstrip(".-_") or "conversation"
    return f"{'_' if _DEVICES.match(plain) else ''}{plain}.{extension}"


def disposition(name: str) -> str:
    """The `Content-Disposition` that saves it under this name (RFC 6266; RFC 8187 for what is not ASCII)."""
    folded = unicodedata.normalize("NFKD", name.replace("đ", "d")).encode("ascii", "ignore").decode()
    stem, _, extension = folded.rpartition(".")
    ascii_name = f"{stem.strip('.-_') or 'conversation'}.{extension}"
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"


# -- Markdown --


def markdown_head(conversation: frames.Conversation, at: datetime) -> str:
    title = _one_line(conversation.title or UNTITLED)
    return f"# {title}\n\nExported {_time(at)}.\n"


def markdown_message(said: Said) -> str:
    """What is said is quoted line by line, so that nothing in it passes for somebody else's message."""
    message, place = said.message, said.place
    marks = [_time(message.created_at)]
    if place.siblings > 1:
        marks.append(f"version {place.number} of {place.siblings}")
    if not place.on_newest_path:
        marks.append("not on the newest path")
    if message.finish_reason not in (None, "stop"):
        marks.append(f"ended: {message.finish_reason}")
    text = _DELETED if message.deleted else message.content
    quoted = "\n".join(f"> {line}".rstrip() for line in text.splitlines() or [""])
    return f"\n## {_one_line(said.speaker)}\n\n*{' · '.join(marks)}*\n\n{quoted}\n"


def _one_line(text: str) -> str:
    """On one line, with nothing in it that Markdown reads."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# -- JSON --


def json_head(conversation: frames.Conversation, at: datetime) -> bytes:
    """The file up to where its messages begin; `json_message`s joined by commas follow, and `JSON_END`."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": at,
        "conversation": {
            "id": conversation.id,
            "project_id": conversation.project_id,
            "title": conversation.title,
            "created_at": conversation.created_at,
            "updated_at": conversation.updated_at,
        },
    }
    return msgspec.json.encode(head)[:-1] + b',"messages":[\n'


JSON_END: Final = b"\n]}\n"


def json_message(said: Said) -> bytes:
    message, place = said.message, said.place
    fields: Mapping[str, object] = {
        "id": message.id,
        "role": message.role,
        "speaker": said.speaker,
        "author_id": message.author_id,
        "agent_id": message.agent_id,
        "content": message.content,
        "deleted": message.deleted,
        "parent_message_id": message.parent_message_id,
        "sibling": {"number": place.number, "of": place.siblings},
        "on_newest_path": place.on_newest_path,
        "created_at": message.created_at,
        "finish_reason": message.finish_reason,
        "usage": message.usage,
    }
    return msgspec.json.encode(fields)
