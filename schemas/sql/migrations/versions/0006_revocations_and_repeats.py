"""Sign-ins ended before their tokens expire, and answers that a repeated request gets again."""

from alembic import op

revision = "0006"
down_revision = "0005"

# Statement by statement, because asyncpg prepares each one.
_UP = """
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    """Nothing to undo yet."""
