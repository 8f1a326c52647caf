"""How people sign in: identities at providers, proofs sent by mail."""

from alembic import op

revision = "0005"
down_revision = "0004"

# Statement by statement, because asyncpg prepares each one.
_UP = """
"""


def upgrade() -> None:
    for statement in filter(str.strip, _UP.split(";\n")):
        op.execute(statement)


def downgrade() -> None:
    """Nothing to undo yet."""
