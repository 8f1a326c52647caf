"""What people are told of, how they want it, and the webhooks that are told with them."""

from alembic import op

revision = "0010"
down_revision = "0009"

# Statement by statement, because asyncpg prepares each one.
_UP = """
CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL,
    project_id uuid NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    -- The order in which they are shown: clock_timestamp, so that no two of one transaction are alike.
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    in_app boolean NOT NULL,
    told_at timestamptz,
    read_at timestamptz,
    -- When it is mailed next; null where it is not (any more).
    mail_at timestamptz,
    mail_tries integer NOT NULL DEFAULT 0
);
CREATE INDEX notifications_newest ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id, created_at, id) WHERE in_app AND read_at IS NULL;
CREATE INDEX notifications_untold ON notifications (created_at) WHERE in_app AND told_at IS NULL;
CREATE INDEX notifications_to_mail ON notifications (mail_at) WHERE mail_at IS NOT NULL;
CREATE INDEX notifications_old ON notifications (created_at);
-- What differs from what everybody has; a kind without a row is told by every channel but mail.
CREATE TABLE notification_preferences (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL,
    app boolean NOT NULL,
    webhook boolean NOT NULL,
    email boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, kind)
);
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES projects ON DELETE CASCADE,
    url text NOT NULL,
    kinds text[] NOT NULL,
    secret bytea NOT NULL,
    secret_before bytea,
    secret_before_until timestamptz,
    created_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    failing_since timestamptz,
    disabled_at timestamptz,
    disabled_why text
);
CREATE INDEX webhooks_project ON webhooks (project_id, created_at, id);
CREATE INDEX webhooks_created_by ON webhooks (created_by);
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    notification_id uuid REFERENCES notifications ON DELETE CASCADE,
    body text NOT NULL,
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'failed')),
    attempts jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at timestamptz DEFAULT now(),
    CHECK ((status = 'waiting') = (next_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (webhook_id, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_notification ON webhook_deliveries (notification_id);
CREATE INDEX webhook_deliveries_old ON webhook_deliveries (created_at)
"""

_TABLES = "webhook_deliveries webhooks notification_preferences notifications"


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    for table in _TABLES.split():
        op.execute(f"DROP TABLE {table}")
