"""The schema can go back and come again on a database that is in use: a release that was a mistake is taken back."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command

from infra.migrations import _config, migrate
from infra.settings import PostgresSettings
from infra.stack import secrets
from infra.stack.config import StackConfig
from tests.running import own_settings, port_settings, up

BEFORE = "0003"
"""The last version without accounts' tables."""

FILLED = """
INSERT INTO users (id, email, display_name, email_verified_at) VALUES
    ('{u}1', 'ada@example.org', 'Ada', now()), ('{u}2', NULL, 'Bob', NULL), ('{u}3', NULL, 'Eve', NULL);
INSERT INTO projects (id, name) VALUES ('{p}1', 'Hers');
INSERT INTO projects (id, name, revision, deleted_at, deleted_by) VALUES ('{p}2', 'Gone', 7, now(), '{u}2');
INSERT INTO project_members (project_id, user_id, role) VALUES ('{p}1', '{u}1', 'owner');
INSERT INTO former_members VALUES ('{p}2', '{u}2', 'owner', now());
INSERT INTO invitations VALUES ('{x}1', '{p}1', 'eve@example.org', 'member', '\\x01', '{u}1', now(), now());
INSERT INTO agents (id, project_id, name) VALUES ('{a}1', '{p}1', 'Echo');
INSERT INTO agent_versions (agent_id, version, config, secret) VALUES ('{a}1', 1, '{{}}', '\\x01');
INSERT INTO conversations (id, project_id, created_by, title, title_by, position, deleted, deleted_at, purged,
    created_at, updated_at) VALUES
    ('{c}1', '{p}1', '{u}1', 'Hoá đơn', '{u}1', 1, false, NULL, false, now(), now()),
    ('{c}2', '{p}1', '{u}1', NULL, NULL, 1, true, now(), true, now(), now());
INSERT INTO messages (id, conversation_id, project_id, position, role, author_id, owner_id, content, created_at)
    VALUES ('{m}1', '{c}1', '{p}1', 1, 'user', '{u}1', '{u}1', 'Hoá đơn của <bạn>', now());
INSERT INTO outbox (event_id, topic, key, type, value) VALUES ('{x}2', 'account-events', '{p}1', 't', '\\x01');
INSERT INTO identities VALUES ('google', 's', '{u}2', NULL, now());
INSERT INTO mail_proofs VALUES ('{x}3', 'reset', '{u}1', 'ada@example.org', now(), now());
INSERT INTO oauth_states VALUES ('\\x01', 'google', '\\x01', 'n', 'v', '/', '{u}1', now());
INSERT INTO provider_deletions VALUES ('c', 'facebook', 'deleted', now());
INSERT INTO revocations VALUES ('{x}4', '{u}1', now(), now());
INSERT INTO repeats VALUES ('{u}1', '\\x01', '\\x01', '{x}5', now(), '\\x01');
INSERT INTO pins VALUES ('{u}1', '{c}1', now());
INSERT INTO shares VALUES ('{x}6', '{c}1', '{u}1', '\\x01', 1, NULL, now(), NULL);
INSERT INTO audit_log (id, event, result, what) VALUES ('{x}7', 'user_created', 'success', '{{}}');
INSERT INTO erasures VALUES ('{u}3', '{x}8', now(), now(), NULL);
INSERT INTO prices (project_id, agent_id, price, created_by) VALUES ('{p}1', '{a}1', '{{}}', '{u}1');
INSERT INTO wallets (project_id, currency) VALUES ('{p}1', 'USD');
INSERT INTO ledger_entries (transaction_id, account, project_id, currency, amount_micros, kind, occurred_at)
    VALUES ('{x}9', 'funding', '{p}1', 'USD', -5, 'credit', now()),
    ('{x}9', 'wallet', '{p}1', 'USD', 5, 'credit', now());
INSERT INTO reservations (run_id, project_id, user_id, agent_id, price_version, currency, amount_micros, budget_periods)
    VALUES ('{x}1', '{p}1', '{u}1', '{a}1', 1, 'USD', 5, '{{}}');
INSERT INTO usage_records (id, run_id, attempt, billable, project_id, conversation_id, user_id, agent_id, agent_version,
    status, finish_reason, input_tokens, output_tokens, cached_input_tokens, from_cache, source, currency, cost_micros,
    charged_micros, occurred_at) VALUES ('{x}1', '{x}1', 1, true, '{p}1', '{c}1', '{u}1', '{a}1', 1, 'completed',
    'stop', 1, 1, 0, false, 'provider', 'USD', 5, 5, now());
INSERT INTO budgets (id, project_id, period, limit_micros, hard) VALUES ('{x}1', '{p}1', 'day', 5, true);
INSERT INTO budget_periods (budget_id, starts_at, spent_micros) VALUES ('{x}1', now(), 5);
INSERT INTO budget_notices (budget_period_id, percent) SELECT id, 80 FROM budget_periods;
INSERT INTO notifications (id, user_id, kind, project_id, data, occurred_at, in_app)
    VALUES ('{x}1', '{u}1', 'budget', '{p}1', '{{}}', now(), true);
INSERT INTO notification_preferences VALUES ('{u}1', 'budget', true, true, false);
INSERT INTO webhooks (id, project_id, url, kinds, secret)
    VALUES ('{x}1', '{p}1', 'https://example.org', '{{}}', '\\x01');
INSERT INTO webhook_deliveries (id, webhook_id, body) VALUES ('{x}1', '{x}1', '{{}}')
""".format(**{name: f"{n}0000000-0000-4000-8000-00000000000" for n, name in enumerate("upxacm", 1)})

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
SCHEMA = """
SELECT attrelid::regclass::text AS of, 'column ' || attname::text AS name,
    concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity,
        pg_get_expr(adbin, adrelid)) AS is
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
JOIN pg_class c ON c.oid = attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT conrelid::regclass::text, 'constraint ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT tablename, 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT tgrelid::regclass::text, 'trigger ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL SELECT '', 'function ' || proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2, 3
"""
KEPT = (
    "SELECT id, display_name, created_at FROM users ORDER BY id",
    "SELECT id, project_id, title, deleted FROM conversations ORDER BY id",
    "SELECT id, conversation_id, content FROM messages",
    "SELECT agent_id, version, config FROM agent_versions",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[PostgresSettings]:
    """A database of its own, at the newest version."""
    env = own_settings() | port_settings() | {"CHORUS_DATA": str(tmp_path)}
    with up(env, "--infrastructure"):
        config = StackConfig.from_env(env, tmp_path)
        yield PostgresSettings.from_env(config.environment() | secrets.ensure(tmp_path))


def ask(database: PostgresSettings, *statements: str) -> list[list[tuple[Any, ...]]]:
    async def asked() -> list[list[tuple[Any, ...]]]:
        connection = await asyncpg.connect(database.url)
        try:
            return [[tuple(row) for row in await connection.fetch(one)] for one in statements]
        finally:
            await connection.close()

    return asyncio.run(asked())


@pytest.mark.slow
def test_back_and_again_with_data(database: PostgresSettings) -> None:
    """From the newest version back to the one before accounts and up again, with a row in each table that goes: the
    schema is the same, what the older version knows is kept, and whoever was in a deleted project is in it again."""
    newest = {table for (table,) in ask(database, TABLES)[0]}
    ask(database, *FILLED.split(";\n"))
    (schema, *kept) = ask(database, SCHEMA, *KEPT)

    command.downgrade(_config(database), BEFORE)

    (tables, members, addresses) = ask(
        database,
        TABLES,
        "SELECT role FROM project_members",
        "SELECT email FROM users ORDER BY id",
    )
    gone = newest - {table for (table,) in tables}
    assert {"outbox", "audit_log"} <= gone <= set(re.findall(r"INSERT INTO (\w+)", FILLED)), "fill new tables, too"
    assert members == [("owner",)] * 2
    assert addresses[0] == ("ada@example.org",)
    assert all(address.endswith("@users.invalid") for (address,) in addresses[1:])

    migrate(database)

    assert ask(database, SCHEMA, *KEPT) == [schema, *kept]
    (found,) = ask(database, "SELECT id FROM messages WHERE search @@ to_tsquery('simple', 'hoa & don')")
    assert len(found) == 1
