"""Conversations and messages as clients see them, made from the facts or from the fold of the facts.

Texts are plain here: whoever calls has opened them.
"""

from collections.abc import Container

from schemas import events, frames
from schemas.conversation import ConversationView


def conversation(view: ConversationView) -> frames.Conversation:
    return frames.Conversation(
        id=view.conversation_id,
        project_id=view.project_id,
        title=view.title,
        archived=view.archived,
        deleted=view.deleted,
        agent_id=view.agent_id,
        created_by=view.created_by,
        created_at=view.created_at,
        updated_at=view.updated_at,
        deleted_at=view.deleted_at,
    )


def message(posted: events.MessagePosted, gone: Container[str] = ()) -> frames.Message:
    """`gone` holds the ids of things whose text was deleted with its owner's key."""
    return frames.Message(
        id=posted.message_id,
        role=posted.role,
        author_id=posted.author_id,
        agent_id=posted.agent_id,
        content=posted.content,
        run_id=posted.run_id,
        parent_message_id=posted.parent_message_id,
        created_at=posted.created_at,
        finish_reason=posted.finish_reason,
        usage=posted.usage,
        deleted=posted.message_id in gone,
        client_message_id=posted.client_message_id,
    )
