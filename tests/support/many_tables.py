"""A generated schema of many tables: keys between them, composite and self-referencing ones, indexes, checks, sequences."""

from __future__ import annotations

DOMAINS = ("sales", "stock", "people", "billing", "archive")


def many_tables(count: int) -> str:
    """DDL of that many tables over five schemas. Every table refers to up to three earlier ones; every tenth to itself."""
    lines = [f"CREATE SCHEMA {schema};" for schema in DOMAINS]
    for number in range(count):
        keys = "".join(
            f",\n  parent_{place} bigint REFERENCES {table_name(parent)}"
            for place, parent in enumerate(_parents(number))
        )
        own = ",\n  previous_id bigint REFERENCES {0}" if number % 10 == 0 else ""
        lines.append(
            f"CREATE TABLE {table_name(number)} (\n  id bigserial PRIMARY KEY, code varchar(20) NOT NULL UNIQUE, "
            "first_name text, email text, amount numeric(12,2) CHECK (amount >= 0), created timestamptz NOT NULL DEFAULT now(), "
            f"birth_date date, note text, flags jsonb{keys}{own.format(table_name(number))}\n);\n"
            f"CREATE INDEX ON {table_name(number)} (created); CREATE INDEX ON {table_name(number)} (lower(email));"
        )
    return "\n".join(lines)


def many_rows(count: int, rows: int) -> str:
    """Rows for all of them, references filled."""
    lines = ["SET session_replication_role = replica;"]
    for number in range(count):
        parents = _parents(number)
        names = "".join(f", parent_{place}" for place in range(len(parents)))
        values = f", 1 + i % {rows}" * len(parents)
        lines.append(
            f"INSERT INTO {table_name(number)} (code, first_name, email, amount, birth_date, note{names}) "
            f"SELECT 'C-' || i, 'First ' || i, 'person' || i || '@many.test', i, date '1970-01-01' + i, 'note ' || i{values} "
            f"FROM generate_series(1, {rows}) i;"
        )
    return "\n".join([*lines, "RESET session_replication_role;", "ANALYZE;"])


def table_name(number: int) -> str:
    """``sales.t0005``."""
    return f"{DOMAINS[number % len(DOMAINS)]}.t{number:04d}"


def _parents(number: int) -> list[int]:
    return [p for p in sorted({number // 2, number // 3, number - 7}) if 0 <= p < number]
