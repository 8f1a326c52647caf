"""Which dead letters were sent again: `redrives`."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE redrives (
            id uuid PRIMARY KEY,
            who text NOT NULL,
            topic text NOT NULL,
            topic_id text NOT NULL, -- Kafka's id of the dead-letter topic: it is part of an offset
            filters jsonb NOT NULL,
            letters jsonb NOT NULL, -- partition -> [[first offset, last offset], …]
            count integer NOT NULL,
            started_at timestamptz NOT NULL DEFAULT now(),
            finished_at timestamptz -- null: it is under way, or it was interrupted
        )
        """
    )
    op.execute("CREATE INDEX redrives_topic ON redrives (topic_id)")


def downgrade() -> None:
    op.execute("DROP TABLE redrives")
