"""Money: prices, wallets, the ledger, what was reserved and used, budgets.

Nothing here refers to users, projects or agents by a foreign key: books are kept when those are gone.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

_STAYS = (
    # Its owner too has to take the triggers away first, which is no accident and leaves a trace.
    """
    CREATE FUNCTION money_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END
    $$
    """,
    *(
        f"CREATE TRIGGER money_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION money_stays()"
        for table in ("prices", "ledger_entries", "usage_records")
    ),
)

_TABLES = (
    # The newest row of an agent that names its model counts, else the newest that names none. A null price: free.
    """
    CREATE TABLE prices (
        version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        project_id uuid NOT NULL,
        agent_id uuid NOT NULL,
        model text,
        price jsonb,
        created_by uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX prices_agent ON prices (agent_id, version DESC)",
    # What can be spent, and what is held for answers that are being made: the sums of the ledger's accounts `wallet`
    # and `reservation`. The ledger's own trigger keeps them, and nobody else.
    """
    CREATE TABLE wallets (
        project_id uuid PRIMARY KEY,
        currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
        balance_micros bigint NOT NULL DEFAULT 0 CHECK (balance_micros >= 0),
        reserved_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # What is added to an account has a plus; the entries of a transaction add up to nothing.
    """
    CREATE TABLE ledger_entries (
        id bigint GENERATED ALWAYS AS IDENTITY,
        transaction_id uuid NOT NULL,
        account text NOT NULL CHECK (
            account IN ('wallet', 'reservation', 'revenue', 'funding', 'provider_cost', 'providers')
        ),
        project_id uuid NOT NULL,
        currency text NOT NULL,
        amount_micros bigint NOT NULL CHECK (amount_micros <> 0),
        kind text NOT NULL CHECK (kind IN ('credit', 'reserve', 'release', 'charge', 'absorb', 'reverse')),
        run_id uuid,
        reverses_id uuid,
        by_user_id uuid,
        note text,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (transaction_id, account)
    )
    """,
    "CREATE INDEX ledger_entries_project ON ledger_entries (project_id, id DESC)",
    "CREATE INDEX ledger_entries_run ON ledger_entries (run_id) WHERE run_id IS NOT NULL",
    """
    CREATE FUNCTION ledger_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        wanted bigint;
        changed bigint;
    BEGIN
        IF EXISTS (
            SELECT FROM added GROUP BY transaction_id
            HAVING sum(amount_micros) <> 0 OR min(project_id::text || currency) <> max(project_id::text || currency)
        ) THEN
            RAISE EXCEPTION 'the entries of a transaction add up to nothing, in one project and one currency'
            USING ERRCODE = 'check_violation';
        END IF;
        SELECT count(DISTINCT (project_id, currency)) INTO wanted
        FROM added WHERE account IN ('wallet', 'reservation');
        UPDATE wallets SET balance_micros = balance_micros + change.balance,
            reserved_micros = reserved_micros + change.reserved
        FROM (
            SELECT project_id, currency,
                coalesce(sum(amount_micros) FILTER (WHERE account = 'wallet'), 0) AS balance,
                coalesce(sum(amount_micros) FILTER (WHERE account = 'reservation'), 0) AS reserved
            FROM added WHERE account IN ('wallet', 'reservation') GROUP BY project_id, currency
        ) AS change
        WHERE wallets.project_id = change.project_id AND wallets.currency = change.currency;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> wanted THEN
            RAISE EXCEPTION 'there is no wallet of that project in that currency' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER ledger_adds_up AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_adds_up()
    """,
    """
    CREATE TABLE reservations (
        run_id uuid PRIMARY KEY,
        project_id uuid NOT NULL,
        user_id uuid NOT NULL,
        agent_id uuid NOT NULL,
        price_version bigint NOT NULL,
        currency text NOT NULL,
        amount_micros bigint NOT NULL CHECK (amount_micros >= 0),
        budget_periods bigint[] NOT NULL,
        reserved_at timestamptz NOT NULL DEFAULT now(),
        charged_micros bigint CHECK (charged_micros BETWEEN 0 AND amount_micros),
        settled_at timestamptz,
        CHECK ((charged_micros IS NULL) = (settled_at IS NULL))
    )
    """,
    "CREATE INDEX reservations_open ON reservations (reserved_at) WHERE settled_at IS NULL",
    "CREATE INDEX reservations_project ON reservations (project_id, reserved_at)",
    # One for each usage event, by its id. `cost_micros`: by the price; `charged_micros` of it came from the wallet.
    """
    CREATE TABLE usage_records (
        id uuid PRIMARY KEY,
        run_id uuid NOT NULL,
        attempt integer NOT NULL,
        billable boolean NOT NULL,
        project_id uuid NOT NULL,
        conversation_id uuid NOT NULL,
        user_id uuid NOT NULL,
        agent_id uuid NOT NULL,
        agent_version integer NOT NULL,
        status text NOT NULL,
        finish_reason text NOT NULL,
        input_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL,
        cached_input_tokens bigint NOT NULL,
        from_cache boolean NOT NULL,
        source text NOT NULL,
        price_version bigint,
        currency text NOT NULL,
        cost_micros bigint NOT NULL,
        charged_micros bigint NOT NULL CHECK (charged_micros BETWEEN 0 AND cost_micros),
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE UNIQUE INDEX usage_records_run ON usage_records (run_id) WHERE billable",
    "CREATE INDEX usage_records_project ON usage_records (project_id, occurred_at)",
    # Nulls: everybody, every agent. One that was taken away is kept, for what it has counted.
    """
    CREATE TABLE budgets (
        id uuid PRIMARY KEY,
        project_id uuid NOT NULL,
        user_id uuid,
        agent_id uuid,
        period text NOT NULL CHECK (period IN ('day', 'week', 'month')),
        limit_micros bigint NOT NULL CHECK (limit_micros >= 0),
        hard boolean NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        UNIQUE NULLS NOT DISTINCT (project_id, user_id, agent_id, period)
    )
    """,
    """
    CREATE TABLE budget_periods (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        budget_id uuid NOT NULL REFERENCES budgets,
        starts_at timestamptz NOT NULL,
        spent_micros bigint NOT NULL CHECK (spent_micros >= 0),
        reserved_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
        UNIQUE (budget_id, starts_at)
    )
    """,
    """
    CREATE TABLE budget_notices (
        budget_period_id bigint NOT NULL REFERENCES budget_periods,
        percent integer NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (budget_period_id, percent)
    )
    """,
)


def upgrade() -> None:
    for statement in _TABLES + _STAYS:
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "budget_notices",
        "budget_periods",
        "budgets",
        "usage_records",
        "reservations",
        "ledger_entries",
        "wallets",
        "prices",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION ledger_adds_up, money_stays")
