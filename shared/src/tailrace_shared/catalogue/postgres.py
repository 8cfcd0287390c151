"""Reads a database's structure: about a dozen queries, whatever the number of tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

import asyncpg

from tailrace_shared.catalogue import queries
from tailrace_shared.catalogue.columns import Row, column_of, domain_checks
from tailrace_shared.catalogue.indexes import index_extras
from tailrace_shared.catalogue.model import (
    Catalogue,
    CheckConstraint,
    ForeignKey,
    Index,
    Rule,
    Table,
    TableName,
    Trigger,
)
from tailrace_shared.catalogue.model import Sequence as OwnedSequence
from tailrace_shared.catalogue.partitions import estimated_rows, pages_of, partition_of, takes_all
from tailrace_shared.errors import TerminalError
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident

EVENTS: Final[dict[str, Literal["insert", "update", "delete"]]] = {"2": "update", "3": "insert", "4": "delete"}
OLDEST: Final = 140000
"""The oldest major version that has TID range scans, which ordered reads need."""
TABLES_PER_QUESTION: Final = 200
"""Tables asked for a first row in one query: each takes a lock, and a plan of thousands of subqueries is slow to make."""


async def read_catalogue(
    connection: asyncpg.Connection, schemas: Sequence[str], *, ask_rows: bool = False
) -> Catalogue:
    """The structure of these schemas as the connected role may see it, and of tables that foreign keys tie to them.

    ``ask_rows`` looks whether each readable table holds a row (the destination's question). Safe inside a transaction.
    Raises TransientError and TerminalError as ``tailrace_shared.postgres`` maps them, TerminalError for a server below 14.
    """
    with translated():
        before = await connection.fetchval("SELECT current_setting('search_path')")
        # Definitions come out qualified only where nothing is on the path.
        await connection.execute("SELECT set_config('search_path', 'pg_catalog', false)")
        try:
            found = await _Reader.read(connection, list(schemas))
            if ask_rows:
                await found.ask_rows(connection)
        finally:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):  # a failed transaction has undone it already
                await connection.execute("SELECT set_config('search_path', $1, false)", before)
    return found.catalogue()


class _Reader:
    """The rows of all queries, put together."""

    def __init__(self) -> None:
        self.server: Row
        self.system = ""
        self.can_replicate = False
        self.rows: Mapping[str, Sequence[Row]] = {}
        self.has_rows: dict[int, bool] = {}

    @classmethod
    async def read(cls, connection: asyncpg.Connection, schemas: list[str]) -> _Reader:
        self = cls()
        self.server = await connection.fetchrow(queries.SERVER) or {}
        version = self.server["version"]
        if version < OLDEST:
            raise TerminalError(
                "postgres.version", f"PostgreSQL {version // 10000} is too old", "Use a server of version 14 or above."
            )
        if self.server["may_identify"]:
            self.system = await connection.fetchval(queries.SYSTEM)
        self.can_replicate = self.server["superuser"] or (
            version >= 150000 and await connection.fetchval(queries.MAY_REPLICATE)
        )
        roots = [row["oid"] for row in await connection.fetch(queries.ROOTS, schemas)]
        relations = await connection.fetch(queries.RELATIONS, roots)
        members = [row["oid"] for row in relations]
        columns = await connection.fetch(queries.columns(version), roots)
        names = sorted({row["schema"] for row in relations} | set(schemas))
        self.rows = {
            "schemas": await connection.fetch(queries.SCHEMAS, names),
            "relations": relations,
            "columns": columns,
            "types": await connection.fetch(queries.TYPES, sorted({row["type"] for row in columns})),
            "indexes": await connection.fetch(queries.indexes(version), members),
            "foreign_keys": await connection.fetch(queries.foreign_keys(version), members),
            "checks": await connection.fetch(queries.CHECKS, members),
            "triggers": await connection.fetch(queries.TRIGGERS, members),
            "rules": await connection.fetch(queries.RULES, members),
            "sequences": await connection.fetch(queries.sequences(), members),
            "inheritors": await connection.fetch(queries.INHERITORS, roots),
            "partition_keys": await connection.fetch(queries.PARTITION_KEYS, members),
        }
        return self

    async def ask_rows(self, connection: asyncpg.Connection) -> None:
        """One EXISTS per table that may be read."""
        tables = [
            row for row in self.rows["relations"]
            if row["oid"] == row["root"] and row["kind"] in "rp" and "SELECT" in row["privileges"]
            and not row["row_security"]
        ]  # fmt: skip
        usable = {row["name"] for row in self.rows["schemas"] if row["usage"]}
        tables = [row for row in tables if row["schema"] in usable]
        for start in range(0, len(tables), TABLES_PER_QUESTION):
            some = tables[start : start + TABLES_PER_QUESTION]
            # Rows of tables that inherit from it are not a table's own; those of partitions are.
            names = (f"{'' if r['kind'] == 'p' else 'ONLY '}{qualified(r['schema'], r['name'])}" for r in some)
            asked = ", ".join(f"EXISTS (SELECT 1 FROM {name})" for name in names)
            answers = await connection.fetchval(f"SELECT ARRAY[{asked}]")
            self.has_rows |= {row["oid"]: answer for row, answer in zip(some, answers, strict=True)}

    def catalogue(self) -> Catalogue:
        rows = self.rows
        self.names = {r["oid"]: TableName(schema_name=r["schema"], name=r["name"]) for r in rows["relations"]}
        self.roots = {r["oid"]: r["root"] for r in rows["relations"]}
        self.types = {r["oid"]: r for r in rows["types"]}
        self.members = {r["oid"]: r for r in rows["relations"]}
        self.children: dict[int, list[Row]] = defaultdict(list)
        for row in rows["relations"]:
            if row["parent"] is not None:
                self.children[row["parent"]].append(row)
        self.attached: dict[int, list[Row]] = defaultdict(list)
        for row in rows["indexes"]:
            if row["parent"] is not None:
                self.attached[row["parent"]].append(row)
        by_root = {
            kind: self._by_root(rows[kind])
            for kind in ("columns", "indexes", "checks", "triggers", "rules", "inheritors", "partition_keys")
        }
        leaves: dict[int, list[Row]] = defaultdict(list)
        for row in rows["relations"]:
            if row["leaf"] and row["oid"] != row["root"]:
                leaves[row["root"]].append(row)
        tables = [self._table(r, by_root, leaves[r["oid"]]) for r in rows["relations"] if r["oid"] == r["root"]]
        return Catalogue(
            server_version=self.server["version"],
            database=self.server["database"],
            encoding=self.server["encoding"],
            system_id=self.system,
            tables=tuple(tables),
            foreign_keys=tuple(sorted((self._foreign_key(r) for r in rows["foreign_keys"]), key=_foreign_key_order)),
            sequences=tuple(self._sequences()),
            privileges=self._privileges(),
            can_create=self.server["can_create"],
            can_replicate=bool(self.can_replicate),
            role=self.server["role"],
        )

    def _by_root(self, rows: Iterable[Row]) -> Mapping[int, list[Row]]:
        found: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            found[self.roots[row["relation"]]].append(row)
        return found

    def _on(self, relation: int) -> TableName | None:
        """The partition that something is on; None for the table itself."""
        return None if self.roots[relation] == relation else self.names[relation]

    def _table(self, row: Row, by_root: Mapping[str, Mapping[int, list[Row]]], leaves: list[Row]) -> Table:
        oid = row["oid"]
        of: dict[str, list[Row]] = {kind: found.get(oid, []) for kind, found in by_root.items()}
        checks = [
            CheckConstraint(name=r["name"], definition=r["definition"], columns=r["columns"]) for r in of["checks"]
        ]
        partitioned = row["kind"] == "p"
        return Table(
            name=self.names[oid],
            oid=oid,
            kind=row["kind"],
            replica_identity=row["replica_identity"],
            filenode=row["filenode"],
            pages=sum(map(pages_of, leaves)) if partitioned else pages_of(row),
            rows=estimated_rows(leaves) if partitioned else row["rows"],
            bytes=sum(r["heap"] + r["toast"] for r in (leaves if partitioned else [row])),
            columns=tuple(column_of(r, self.types) for r in of["columns"]),
            indexes=tuple(self._index(r) for r in of["indexes"] if r["parent"] is None),
            checks=(*checks, *domain_checks(of["columns"], self.types)),
            triggers=tuple(
                Trigger(name=r["name"], enabled=r["enabled"], on=self._on(r["relation"]), inherited=r["inherited"])
                for r in of["triggers"]
            ),
            partitions=tuple(partition_of(r, self.names[r["oid"]], self.members) for r in leaves),
            partition_columns=tuple(sorted({r["name"] for r in of["partition_keys"]})),
            bounded_columns=tuple(
                sorted({r["name"] for r in of["partition_keys"] if not takes_all(r, self.children[r["relation"]])})
            ),
            rules=tuple(
                Rule(name=r["name"], event=EVENTS[r["event"]], enabled=r["enabled"], on=self._on(r["relation"]))
                for r in of["rules"]
            ),
            inherited_by=tuple(TableName(schema_name=r["schema"], name=r["name"]) for r in of["inheritors"]),
            row_security=row["row_security"] or any(r["row_security"] for r in leaves),
            persistence="u" if any(r["persistence"] == "u" for r in leaves) else row["persistence"],
            owner=row["owner"],
            owner_rules_all=row["owner_rules_all"],
            has_rows=self.has_rows.get(oid),
        )

    def _index(self, row: Row) -> Index:
        table = self.names[row["relation"]]
        index = Index(
            name=row["name"],
            definition=row["definition"],
            columns=tuple(row["columns"]),
            expressions=tuple(row["expressions"]),
            unique=row["unique"],
            primary=row["primary"],
            identifies=row["identifies"],
            immediate=row["immediate"],
            constraint=row["constraint"],
            predicate=row["predicate"],
            nulls_not_distinct=row["nulls_not_distinct"],
            valid=row["valid"],
            partitioned=row["kind"] == "I",
            exclusion=row["constraint_kind"] == "x",
            uses=tuple(row["uses"]),
            on=self._on(row["relation"]),
            extras=tuple(index_extras(row, table)),
        )
        attached = self.attached.get(row["oid"], ())
        if not attached or not index.droppable:
            return index
        return index.model_copy(update={"children": tuple(self._index(r) for r in attached)})

    def _foreign_key(self, row: Row) -> ForeignKey:
        table = self.names[row["relation"]]
        on = f"CONSTRAINT {quote_ident(row['name'])} ON {qualified(table.schema_name, table.name)}"
        return ForeignKey(
            name=row["name"],
            table=table,
            columns=tuple(row["columns"]),
            references=self.names[row["references"]],
            referenced_columns=tuple(row["referenced_columns"]),
            definition=row["definition"],
            deferrable=row["deferrable"],
            initially_deferred=row["deferred"],
            validated=row["validated"],
            on_delete=row["on_delete"],
            on_update=row["on_update"],
            enforced=row["enforced"],
            temporal=row["temporal"],
            silenced=row["silenced"],
            extras=(
                *([f"COMMENT ON {on} IS {row['comment']}"] if row["comment"] else []),
                *(f"COMMENT ON CONSTRAINT {n} ON {part} IS {said}" for part, n, _, said in row["parts"] if said),
            ),
            parts=tuple(
                f"ALTER TABLE {part} DROP CONSTRAINT IF EXISTS {n}, ADD CONSTRAINT {n} {definition}"
                for part, n, definition, _ in row["parts"]
                if definition
            ),
            operators=tuple(row["operators"]),
        )

    def _sequences(self) -> Iterable[OwnedSequence]:
        seen = set()
        for row in self.rows["sequences"]:
            owner = self.names[self.roots[row["relation"]]]
            sequence = OwnedSequence(
                schema_name=row["schema"],
                name=row["name"],
                owner=owner,
                owner_column=row["column"],
                data_type=row["type"],
                increment=row["increment"],
                maximum=row["maximum"],
            )
            if sequence not in seen:  # a partition draws from its parent's
                seen.add(sequence)
                yield sequence

    def _privileges(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for row in self.rows["schemas"]:
            found[row["name"]] = tuple(p for p in ("USAGE", "CREATE") if row[p.lower()])
        for row in self.rows["relations"]:
            own: tuple[str, ...] = ("OWNER",) if row["own"] else ()
            found[str(self.names[row["oid"]])] = (*row["privileges"], *own)
        for row in self.rows["sequences"]:
            may: dict[str, Any] = {"SELECT": row["may_read"], "UPDATE": row["may_set"], "OWNER": row["own"]}
            found[f"{row['schema']}.{row['name']}"] = tuple(p for p, has in may.items() if has)
        return found


def _foreign_key_order(key: ForeignKey) -> tuple[str, str, str]:
    return key.table.schema_name, key.table.name, key.name
