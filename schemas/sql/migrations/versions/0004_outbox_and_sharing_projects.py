"""What other processes are told of accounts; who may join a project, and projects that were deleted."""

from alembic import op

revision = "0004"
down_revision = "0003"

# Statement by statement, because asyncpg prepares each one.
_UP = """
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    """Nothing to undo yet."""
