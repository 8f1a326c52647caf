"""Sign-ins ended before their tokens expire, and answers that a repeated request gets again."""

from alembic import op

revision = "0006"
down_revision = "0005"

# Statement by statement, because asyncpg prepares each one.
_UP = """
-- Sign-ins whose access tokens are not to be believed any longer. Without a foreign key: they outlive deleted people.
CREATE TABLE revocations (
    sign_in_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX revocations_recent ON revocations (revoked_at);
CREATE INDEX revocations_expired ON revocations (expires_at);
-- What a request with an Idempotency-Key was answered; without an answer it is being done. The answer is sealed with
-- what the client alone keeps, its key.
CREATE TABLE repeats (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    key_hash bytea NOT NULL,
    request_hash bytea NOT NULL,
    claim uuid NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    answer bytea,
    PRIMARY KEY (user_id, key_hash)
);
CREATE INDEX repeats_claimed ON repeats (claimed_at)
"""

_DOWN = """
DROP TABLE repeats;
DROP TABLE revocations
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    for statement in filter(str.strip, _DOWN.split(";\n")):
        op.execute(statement)
