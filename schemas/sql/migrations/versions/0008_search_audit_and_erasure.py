"""Finding messages; what was done, by whom; people who left."""

from alembic import op

revision = "0008"
down_revision = "0007"

# Statement by statement, because asyncpg prepares each one.
_UP = """
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    """Nothing to undo yet."""
