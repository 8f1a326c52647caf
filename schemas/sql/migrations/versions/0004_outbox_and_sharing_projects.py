"""What other processes are told of accounts; who may join a project, and projects that were deleted."""

from alembic import op

revision = "0004"
down_revision = "0003"

# Statement by statement, because asyncpg prepares each one.
_UP = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE projects
    ADD COLUMN revision bigint NOT NULL DEFAULT 0, ADD COLUMN deleted_at timestamptz, ADD COLUMN deleted_by uuid;
CREATE INDEX projects_deleted ON projects (deleted_at) WHERE deleted_at IS NOT NULL;
-- Whoever was in a project when it was deleted. Nobody is a member of it meanwhile, so no look-up has to think of it.
CREATE TABLE former_members (
    project_id uuid NOT NULL REFERENCES projects ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX former_members_user ON former_members (user_id);
CREATE TABLE invitations (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES projects ON DELETE CASCADE,
    email text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    token_hash bytea NOT NULL UNIQUE,
    invited_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    UNIQUE (project_id, email)
);
CREATE INDEX invitations_invited_by ON invitations (invited_by);
ALTER TABLE agent_versions ADD COLUMN secret bytea
"""

_DOWN = """
ALTER TABLE agent_versions DROP COLUMN secret;
DROP TABLE invitations;
INSERT INTO project_members SELECT * FROM former_members ON CONFLICT DO NOTHING;
DROP TABLE former_members;
ALTER TABLE projects DROP COLUMN revision, DROP COLUMN deleted_at, DROP COLUMN deleted_by;
DROP TABLE outbox
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    for statement in filter(str.strip, _DOWN.split(";\n")):
        op.execute(statement)
