"""How people sign in: identities at providers, proofs sent by mail. Not every provider tells an e-mail address."""

from alembic import op

revision = "0005"
down_revision = "0004"

# Statement by statement, because asyncpg prepares each one.
_UP = """
ALTER TABLE users ALTER COLUMN email DROP NOT NULL, ADD COLUMN email_verified_at timestamptz;
CREATE TABLE identities (
    provider text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    email text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, subject),
    UNIQUE (user_id, provider)
);
-- A link holds the id and a signature: whoever reads this table can make none of them.
CREATE TABLE mail_proofs (
    id uuid PRIMARY KEY,
    purpose text NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    email text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX mail_proofs_user ON mail_proofs (user_id);
-- Somebody's way to a provider and back. With `user_id` it adds an identity to that person.
CREATE TABLE oauth_states (
    state_hash bytea PRIMARY KEY,
    provider text NOT NULL,
    browser_hash bytea NOT NULL,
    nonce text NOT NULL,
    verifier text NOT NULL,
    next text NOT NULL,
    user_id uuid REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_states_expired ON oauth_states (expires_at);
CREATE INDEX oauth_states_user ON oauth_states (user_id);
-- A provider asked us to forget somebody; nothing here says whom.
CREATE TABLE provider_deletions (
    code text PRIMARY KEY,
    provider text NOT NULL,
    outcome text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""

_DOWN = """
DROP TABLE provider_deletions;
DROP TABLE oauth_states;
DROP TABLE mail_proofs;
DROP TABLE identities;
UPDATE users SET email = id::text || '@users.invalid' WHERE email IS NULL;
ALTER TABLE users ALTER COLUMN email SET NOT NULL, DROP COLUMN email_verified_at
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    for statement in filter(str.strip, _DOWN.split(";\n")):
        op.execute(statement)
