"""Finding messages; what was done, by whom; people who left."""

from alembic import op

revision = "0008"
down_revision = "0007"

_AUDIT = (
    """
    CREATE TABLE audit_log (
        id uuid PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        event text NOT NULL,
        result text NOT NULL CHECK (result IN ('success', 'failure')),
        actor_id uuid,
        user_id uuid,
        project_id uuid,
        address text CHECK (address !~ '[\\x01-\\x1f\\x7f]'),
        request_id text CHECK (request_id !~ '[\\x01-\\x1f\\x7f]'),
        what jsonb NOT NULL
    )
    """,
    "CREATE INDEX audit_log_project ON audit_log (project_id, at DESC, id DESC) WHERE project_id IS NOT NULL",
    "CREATE INDEX audit_log_actor ON audit_log (actor_id, at, id) WHERE actor_id IS NOT NULL",
    "CREATE INDEX audit_log_user ON audit_log (user_id, at, id) WHERE user_id IS NOT NULL",
    "CREATE INDEX audit_log_at ON audit_log (at)",
    # Its owner too has to take the triggers away first, which is no accident and leaves a trace.
    """
    CREATE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.at < now() - interval '400 days' THEN RETURN OLD; END IF;
        ELSIF TG_OP = 'UPDATE' THEN
            IF NEW.address IS NULL AND to_jsonb(NEW) - 'address' = to_jsonb(OLD) - 'address' THEN RETURN NEW; END IF;
        END IF;
        RAISE EXCEPTION 'audit_log is only ever added to' USING ERRCODE = 'insufficient_privilege';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_stays()
    """,
    """
    CREATE TRIGGER audit_log_is_not_emptied BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_stays()
    """,
)


def upgrade() -> None:
    for statement in _AUDIT:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE audit_log")
    op.execute("DROP FUNCTION audit_log_stays")
