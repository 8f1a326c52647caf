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

_WORDS = "asciiword, word, numword, asciihword, hword, numhword, hword_asciipart, hword_part, hword_numpart"
_LONGEST_SEARCHED = 32_768
"""Characters: what fits a tsvector whatever they are. It holds 1 MB, and what did not fit would stop history."""
_SHOWN_AGAIN = "E'<>/\\x02\\x03\\x04\\x05\\x06', E'\\x04\\x05\\x06'"
"""In the place of what the parser would take for markup or a path stand characters that mean nothing to it, so that an
excerpt can have them back; two are left to mark matches in it."""

_SEARCH = (
    "CREATE EXTENSION IF NOT EXISTS unaccent SCHEMA public",
    # What is searched: no accents, whatever their form, no stemming and no stop words, for people write in many
    # languages and look for "it" as for any other word. The parser takes `<int>` for markup and `a/b` for a path, and
    # would find no words there. What is seldom needed is seldom done: it is most of what a stored message costs.
    f"""
    CREATE FUNCTION public.folded(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN public.unaccent('public.unaccent'::regdictionary, CASE
        WHEN strpos($1, '<') + strpos($1, '/') = 0 AND $1 IS NFC NORMALIZED THEN left($1, {_LONGEST_SEARCHED})
        ELSE translate(normalize(left($1, {_LONGEST_SEARCHED})), '<>/', '   ')
    END)
    """,
    # The same words, found in a text as it is: for excerpts.
    "CREATE TEXT SEARCH CONFIGURATION public.chorus (COPY = simple)",
    f"ALTER TEXT SEARCH CONFIGURATION public.chorus ALTER MAPPING FOR {_WORDS} WITH unaccent, simple",
    f"""
    CREATE FUNCTION public.shown(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN translate(normalize(left($1, {_LONGEST_SEARCHED})), {_SHOWN_AGAIN})
    """,
    # Null in what the version before stores; history's start fills it in.
    "ALTER TABLE messages ADD COLUMN project_id uuid",
    "UPDATE messages SET project_id = c.project_id FROM conversations AS c WHERE c.id = conversation_id",
    # The project stands in the vector itself, as a word that no text has: whoever looks for a word in one project
    # reads no other's messages, with one index and no further extension.
    """
    ALTER TABLE messages ADD COLUMN search tsvector GENERATED ALWAYS AS (
        array_to_tsvector(ARRAY['=' || coalesce(project_id::text, '')])
            || to_tsvector('pg_catalog.simple'::regconfig, public.folded(content))
    ) STORED
    """,
    """
    ALTER TABLE conversations ADD COLUMN search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.simple'::regconfig, public.folded(coalesce(title, ''))), 'A')
    ) STORED
    """,
    "CREATE INDEX messages_search ON messages USING gin (search) WITH (gin_pending_list_limit = 1024)",
    "CREATE INDEX messages_newest ON messages (project_id, created_at DESC, id DESC)",
    "CREATE INDEX messages_without_project ON messages (conversation_id) WHERE project_id IS NULL",
)

_ERASURE = (
    # Whose key seals the title in the log. Who gave the titles there are is known from the log alone.
    "ALTER TABLE conversations ADD COLUMN title_by uuid",
    "UPDATE conversations SET title_by = created_by WHERE title IS NOT NULL",
    """
    CREATE TABLE erasures (
        user_id uuid PRIMARY KEY,
        receipt_id uuid NOT NULL UNIQUE,
        asked_at timestamptz NOT NULL DEFAULT now(),
        again_at timestamptz NOT NULL,
        done_at timestamptz
    )
    """,
    "CREATE INDEX erasures_open ON erasures (again_at) WHERE done_at IS NULL",
)


def upgrade() -> None:
    for statement in _AUDIT + _SEARCH + _ERASURE:
        op.execute(statement)


def downgrade() -> None:
    for statement in (
        "DROP TABLE erasures",
        "ALTER TABLE conversations DROP COLUMN title_by, DROP COLUMN search",
        "ALTER TABLE messages DROP COLUMN search, DROP COLUMN project_id",
        "DROP FUNCTION public.shown, public.folded",
        "DROP TEXT SEARCH CONFIGURATION public.chorus",
        "DROP EXTENSION unaccent",
        "DROP TABLE audit_log",
        "DROP FUNCTION audit_log_stays",
    ):
        op.execute(statement)
