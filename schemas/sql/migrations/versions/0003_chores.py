"""What operators have to do again and again, and when it was last done: `chores`."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE chores (
            name text PRIMARY KEY,
            done_at timestamptz NOT NULL,
            detail jsonb NOT NULL DEFAULT '{}'
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE chores")
