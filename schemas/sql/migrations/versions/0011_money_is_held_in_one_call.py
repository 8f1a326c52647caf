"""Money is held in one round trip, so that a wallet is locked for no longer than the database itself takes."""

from alembic import op

revision = "0011"
down_revision = "0010"

# Each statement of a volatile function sees what was committed before it began: after the wallet is locked, nothing of
# its project's money changes any more. See `infra.ledger.reserve` for what it means.
_RESERVE = """
CREATE FUNCTION reserve_money(
    of_run uuid, of_project uuid, of_user uuid, of_agent uuid, by_price bigint, in_currency text, estimate bigint,
    minimum bigint, in_transaction uuid, OUT amount bigint, OUT refusal text
) LANGUAGE plpgsql AS $$
DECLARE
    there wallets;
    budget record;
    period budget_periods;
    room bigint;
    is_over boolean;
    counting bigint[] := '{}';
BEGIN
    SELECT * INTO there FROM wallets WHERE project_id = of_project FOR UPDATE;
    SELECT r.amount_micros, r.settled_at IS NOT NULL OR used.id IS NOT NULL INTO amount, is_over
    FROM (VALUES (of_run)) AS run (id)
    LEFT JOIN reservations AS r ON r.run_id = run.id
    LEFT JOIN usage_records AS used ON used.run_id = run.id AND used.billable;
    IF is_over THEN
        amount := NULL;
        refusal := 'settled';
        RETURN;
    ELSIF amount IS NOT NULL THEN
        RETURN;
    ELSIF there.currency IS DISTINCT FROM in_currency OR there.balance_micros < minimum THEN
        refusal := 'no_credit';
        RETURN;
    END IF;

    room := there.balance_micros;
    FOR budget IN
        SELECT id, hard, limit_micros, user_id, agent_id, date_trunc(budgets.period, now(), 'UTC') AS starts_at
        FROM budgets
        WHERE project_id = of_project AND (user_id = of_user OR user_id IS NULL)
            AND (agent_id = of_agent OR agent_id IS NULL) AND ended_at IS NULL
        ORDER BY id
    LOOP
        SELECT * INTO period FROM budget_periods WHERE budget_id = budget.id AND starts_at = budget.starts_at;
        IF NOT FOUND THEN
            INSERT INTO budget_periods (budget_id, starts_at, spent_micros)
            SELECT budget.id, budget.starts_at, coalesce(sum(r.charged_micros), 0)
            FROM reservations AS r
            WHERE r.project_id = of_project AND r.reserved_at >= budget.starts_at AND r.settled_at IS NOT NULL
                AND (budget.user_id IS NULL OR r.user_id = budget.user_id)
                AND (budget.agent_id IS NULL OR r.agent_id = budget.agent_id)
            RETURNING * INTO period;
        END IF;
        counting := counting || period.id;
        IF budget.hard THEN
            room := least(room, budget.limit_micros - period.spent_micros - period.reserved_micros);
        END IF;
    END LOOP;
    IF room < minimum THEN
        refusal := 'budget';
        RETURN;
    END IF;

    amount := least(estimate, room);
    INSERT INTO reservations (
        run_id, project_id, user_id, agent_id, price_version, currency, amount_micros, budget_periods
    ) VALUES (of_run, of_project, of_user, of_agent, by_price, in_currency, amount, counting);
    INSERT INTO ledger_entries (
        transaction_id, account, project_id, currency, amount_micros, kind, run_id, occurred_at
    )
    SELECT in_transaction, side.account, of_project, in_currency, side.sign * amount, 'reserve', of_run, now()
    FROM (VALUES ('wallet', -1), ('reservation', 1)) AS side (account, sign) WHERE amount > 0;
    UPDATE budget_periods SET reserved_micros = reserved_micros + amount WHERE id = ANY(counting);
END
$$
"""


def upgrade() -> None:
    op.execute(_RESERVE)


def downgrade() -> None:
    op.execute("DROP FUNCTION reserve_money")
