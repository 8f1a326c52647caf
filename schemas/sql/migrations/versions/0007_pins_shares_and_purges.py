"""What people do with a thread: pin it, share it, bring it back, and its end for good."""

from alembic import op

revision = "0007"
down_revision = "0006"

# Statement by statement, because asyncpg prepares each one.
_UP = """
ALTER TABLE conversations ADD COLUMN deleted_at timestamptz, ADD COLUMN purged boolean NOT NULL DEFAULT false;
-- When it was is not known here, only in the log: they are kept from now on, so none is purged too early.
UPDATE conversations SET deleted_at = now() WHERE deleted;
CREATE INDEX conversations_bin ON conversations (project_id, updated_at DESC, id DESC) WHERE deleted AND NOT purged;
CREATE INDEX conversations_to_purge ON conversations (deleted_at) WHERE deleted AND NOT purged;
CREATE TABLE pins (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    conversation_id uuid NOT NULL,
    pinned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, conversation_id)
);
CREATE INDEX pins_conversation ON pins (conversation_id);
CREATE TABLE shares (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    created_by uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE,
    position bigint NOT NULL,
    title_hash bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX shares_conversation ON shares (conversation_id, created_at);
CREATE INDEX shares_created_by ON shares (created_by)
"""

_DOWN = """
DROP TABLE shares;
DROP TABLE pins;
ALTER TABLE conversations DROP COLUMN deleted_at, DROP COLUMN purged
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    for statement in filter(str.strip, _DOWN.split(";\n")):
        op.execute(statement)
