"""People, projects, agents, conversations, messages, runs, and where each sink stands."""

from alembic import op

revision = "0001"
down_revision = None

# Statement by statement, because asyncpg prepares each one.
_UP = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    display_name text NOT NULL,
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE TABLE data_keys (
    user_id uuid PRIMARY KEY,
    wrapped bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
CREATE TABLE refresh_tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    family uuid NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    issued_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    family_expires_at timestamptz NOT NULL,
    used_at timestamptz,
    replaced_by uuid,
    revoked_at timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE TABLE projects (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    default_agent_id uuid,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE project_members (
    project_id uuid NOT NULL REFERENCES projects ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX project_members_user ON project_members (user_id);
CREATE TABLE agents (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX agents_project ON agents (project_id);
CREATE TABLE agent_versions (
    agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    version integer NOT NULL,
    config jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_id, version)
);
CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL,
    created_by uuid NOT NULL,
    title text,
    archived boolean NOT NULL DEFAULT false,
    deleted boolean NOT NULL DEFAULT false,
    agent_id uuid,
    last_question_id uuid,
    position bigint NOT NULL,
    causes uuid[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX conversations_newest ON conversations (project_id, updated_at DESC, id DESC) WHERE NOT deleted;
CREATE TABLE messages (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    position bigint NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'assistant')),
    author_id uuid,
    agent_id uuid,
    owner_id uuid NOT NULL,
    content text NOT NULL,
    content_deleted boolean NOT NULL DEFAULT false,
    digest text,
    client_message_id uuid,
    parent_message_id uuid,
    run_id uuid,
    finish_reason text,
    usage jsonb,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX messages_position ON messages (conversation_id, position);
CREATE INDEX messages_owner ON messages (owner_id);
CREATE TABLE runs (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    message_id uuid NOT NULL,
    question_id uuid NOT NULL,
    user_id uuid NOT NULL,
    agent jsonb NOT NULL,
    status text NOT NULL,
    keep boolean NOT NULL DEFAULT true,
    ordinal bigint,
    attempt integer NOT NULL DEFAULT 0,
    last_seq integer NOT NULL DEFAULT 0,
    finish_reason text,
    usage jsonb,
    error jsonb,
    queued_at timestamptz NOT NULL,
    requested_at timestamptz,
    ended_at timestamptz,
    ended_position bigint
);
CREATE INDEX runs_conversation ON runs (conversation_id, ended_position);
CREATE INDEX runs_question ON runs (question_id);
CREATE INDEX runs_open ON runs (conversation_id, ordinal) WHERE ended_at IS NULL;
CREATE TABLE rejections (
    message_id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    client_message_id uuid NOT NULL,
    user_id uuid NOT NULL,
    code text NOT NULL,
    position bigint NOT NULL
);
CREATE INDEX rejections_conversation ON rejections (conversation_id, user_id, position);
CREATE TABLE remembered_cancels (
    run_id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL
);
CREATE INDEX remembered_cancels_conversation ON remembered_cancels (conversation_id);
CREATE TABLE unfit_facts (
    topic_id text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    record json NOT NULL, -- as it came: jsonb would refuse some of the very records that are unfit
    error text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic_id, partition, record_offset)
);
CREATE TABLE sink_offsets (
    sink text NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, topic_id, partition)
)
"""

_TABLES = (
    "sink_offsets unfit_facts remembered_cancels rejections runs messages conversations agent_versions agents "
    "project_members projects refresh_tokens data_keys users"
)


def upgrade() -> None:
    for statement in _UP.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    for table in _TABLES.split():
        op.execute(f"DROP TABLE {table}")
