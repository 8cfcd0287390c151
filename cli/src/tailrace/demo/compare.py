"""The same rows before and after, side by side. The originals may be shown: they are demo data that anybody may have."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tailrace.demo.databases import DESTINATION, SOURCE, DemoDatabases

_SECTIONS: dict[str, tuple[str, ...]] = {
    "customer": ("customer_id", "first_name", "last_name", "email", "create_date"),
    "address": ("address_id", "address", "district", "postal_code", "phone"),
    "payment": ("payment_id", "customer_id", "amount", "payment_date"),
}
_ALIAS = {"customer": "c", "address": "a", "payment": "p"}
_PERSONS = 3
Row = dict[str, str]
"""``table.column`` → text."""


async def sample(databases: DemoDatabases) -> list[tuple[Row, Row]]:
    """A few persons with address and first payment, as they are in the source and in the destination.

    Payment ids are carried as they are, so a payment finds its counterpart, and through it the persons theirs.
    """
    source = await asyncpg.connect(databases.cluster.url(SOURCE))
    destination = await asyncpg.connect(databases.cluster.url(DESTINATION))
    try:
        payments = await source.fetch(
            "SELECT min(payment_id) AS id FROM payment GROUP BY customer_id ORDER BY customer_id LIMIT $1", _PERSONS
        )
        wanted = [row["id"] for row in payments]
        before, after = await _persons(source, wanted), await _persons(destination, wanted)
        return [(before[key], after[key]) for key in wanted]
    finally:
        await source.close()
        await destination.close()


async def _persons(connection: asyncpg.Connection, payments: Sequence[int]) -> dict[int, Row]:
    names = [
        f'{_ALIAS[table]}.{column}::text AS "{table}.{column}"'
        for table, columns in _SECTIONS.items()
        for column in columns
    ]
    rows = await connection.fetch(
        f"SELECT p.payment_id AS key, {', '.join(names)} FROM public.payment p "
        "JOIN public.customer c ON c.customer_id = p.customer_id "
        "JOIN public.address a ON a.address_id = c.address_id WHERE p.payment_id = ANY($1)",
        payments,
    )
    return {row["key"]: {name: value for name, value in row.items() if name != "key"} for row in rows}


def side_by_side(pairs: Sequence[tuple[Row, Row]]) -> RenderableType:
    """The first person in full, the others by name and e-mail."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("")
    shown.add_column(SOURCE, style="red")
    shown.add_column(DESTINATION, style="green")
    before, after = pairs[0]
    for table, columns in _SECTIONS.items():
        for column in columns:
            name = f"{table}.{column}"
            shown.add_row(name, *_cells(before[name], after[name]), end_section=column == columns[-1])
    for before, after in pairs[1:]:
        shown.add_row("another customer", *_cells(_name(before), _name(after)))
        shown.add_row("", *_cells(before["customer.email"], after["customer.email"]))
    return shown


def _name(row: Row) -> str:
    return f"{row['customer.first_name']} {row['customer.last_name']}"


def _cells(before: str | None, after: str | None) -> tuple[Text, Text]:
    """What did not change is dim: a carried value should not pass for a masked one."""
    style = "dim" if before == after else ""
    return Text(before or "", style=style), Text(after or "", style=style)
