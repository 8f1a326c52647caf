"""What people do with a thread: pin it, share it, bring it back, and its end for good."""

from alembic import op

revision = "0007"
down_revision = "0006"

# Statement by statement, because asyncpg prepares each one.
_UP = """
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    """Nothing to undo yet."""
