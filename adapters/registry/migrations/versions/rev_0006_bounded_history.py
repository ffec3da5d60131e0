"""The oldest lines of history may go; nobody changes one, and the newest 1000 stay."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER history_no_delete")
        op.execute(
            "CREATE TRIGGER history_no_delete BEFORE DELETE ON history "
            "WHEN OLD.id > (SELECT max(id) FROM history) - 1000 "
            "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END"
        )
        return
    op.execute("DROP TRIGGER history_no_change ON history")
    op.execute(
        "CREATE TRIGGER history_no_update BEFORE UPDATE ON history "
        "FOR EACH ROW EXECUTE FUNCTION history_is_append_only()"
    )
    # A condition of a trigger may not look into tables there: the function does.
    op.execute(
        "CREATE FUNCTION history_keeps_the_newest() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF OLD.id > (SELECT max(id) FROM history) - 1000 THEN "
        "RAISE EXCEPTION 'history is append-only'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER history_no_delete BEFORE DELETE ON history "
        "FOR EACH ROW EXECUTE FUNCTION history_keeps_the_newest()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER history_no_delete")
        op.execute(
            "CREATE TRIGGER history_no_delete BEFORE DELETE ON history "
            "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END"
        )
        return
    op.execute("DROP TRIGGER history_no_delete ON history")
    op.execute("DROP TRIGGER history_no_update ON history")
    op.execute("DROP FUNCTION history_keeps_the_newest()")
    op.execute(
        "CREATE TRIGGER history_no_change BEFORE UPDATE OR DELETE ON history "
        "FOR EACH ROW EXECUTE FUNCTION history_is_append_only()"
    )
