"""Unique indexes of generated tables: which column makes rows differ, or how several columns do it together.

Together they work by *slots*: the ordinal goes through a permutation of the product of what each column chooses from, and each
column takes a digit of the result. So no two of that many rows agree in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace_shared.catalogue.model import Index, Table
from tailrace_shared.generators import Ai, Made, MakeReference, Null
from tailrace_shared.generators.made import SPACE_MAX
from tailrace_shared.plan.domains import indexed_columns
from tailrace_shared.plan.model import PlannedColumn, Proof, Slot
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.proofs import LIKELY_COLLISION


@dataclass(frozen=True)
class Unit:
    """Columns that draw as one: a single column, or all of a foreign key."""

    columns: tuple[str, ...]
    space: int


def prove_unique(
    table: Table, columns: Sequence[PlannedColumn], rows: int, problems: Problems, placed: Sequence[str] | None = None
) -> tuple[list[PlannedColumn], list[Proof]]:
    """The columns with their slots, and a proof per unique index; what cannot hold becomes an error. ``placed``: columns in which
    no two rows agree, of a table of events."""
    made = {column.name: column for column in columns}
    prover = _Prover(table, made, rows, problems, placed)
    for index in sorted(table.indexes, key=lambda i: (len(i.columns), i.name)):
        if index.unique:
            prover.unique(index)
        elif index.exclusion and rows > 1 and any(name in made for name in index.uses):
            problems.error(
                "exclusion", f"{table.name} constraint {index.constraint}",
                "nothing keeps made rows from excluding each other",
                "Drop the constraint in the destination, make one row, or exclude the table.",
            )  # fmt: skip
    return list(prover.columns.values()), prover.proofs


class _Prover:
    def __init__(
        self,
        table: Table,
        columns: dict[str, PlannedColumn],
        rows: int,
        problems: Problems,
        placed: Sequence[str] | None,
    ) -> None:
        self.table = table
        self.columns = columns
        self.rows = rows
        self.problems = problems
        self.placed, self.events = frozenset(placed or ()), placed is not None
        self.proofs: list[Proof] = []
        self._slotted: list[frozenset[str]] = []
        """Columns of each index that slots already prove."""

    def unique(self, index: Index) -> None:
        about = f"{self.table.name} unique {index.name}"
        names = [name for name in indexed_columns(index) if name in self.columns]
        if self.rows <= 1:
            self._proved(about, "at most one row")
            return
        if index.nulls_not_distinct:
            self._refuse_nulls(index, names)
        if any(isinstance(self.columns[n].rule, Null) for n in names) and not index.nulls_not_distinct:
            self._proved(about, "NULLs differ")
        elif self.placed and self.placed <= set(names):
            self._proved(about, "no two events of one entity are at the same place")
        elif not (self._alone(about, index, names) or self._together(about, index, names)):
            self._refuse(index, names)

    def _alone(self, about: str, index: Index, names: list[str]) -> bool:
        """One column differs from row to row by itself."""
        for name in names:
            column = self.columns[name]
            if column.mask is None or isinstance(column.rule, Null):
                continue
            making, space = column.rule.making(column.mask), column.rule.made_space(column.mask)
            if making == "exact" and (space is None or space >= self.rows):
                self._proved(about, f"{name} is another in every row ({column.rule.generator})")
                return True
        for name in names:
            column = self.columns[name]
            if column.mask is None or column.rule.making(column.mask) != "probable":
                continue
            chance = self.rows * self.rows / (2 * (column.rule.made_space(column.mask) or 1))
            if chance <= LIKELY_COLLISION:
                reason = f"collision probability {chance:.1g} for {self.rows} values of {name}"
                self.proofs.append(Proof(about=about, verdict="estimated", reason=reason))
                return True
        return False

    def _together(self, about: str, index: Index, names: list[str]) -> bool:
        """Slots of this index, or those of one that it contains."""
        for known in self._slotted:
            if known <= set(names):
                self._proved(about, f"{', '.join(sorted(known))} differ together already")
                return True
        units, total = [], 1
        for unit in self._units(names):
            if total * unit.space > SPACE_MAX:
                continue
            units.append(unit)
            total *= unit.space
        if not units or total < self.rows:
            return False
        divisor = 1
        for unit in units:
            slot = Slot(name=f"{self.table.name} {index.name}", total=total, divisor=divisor, size=unit.space)
            divisor *= unit.space
            for name in unit.columns:
                self.columns[name] = self.columns[name].model_copy(update={"slot": slot})
        taken = frozenset(name for unit in units for name in unit.columns)
        self._slotted.append(taken)
        self._proved(about, f"{', '.join(sorted(taken))} differ together: {self.rows:,} of {total:,} combinations")
        return True

    def _units(self, names: Sequence[str]) -> list[Unit]:
        """What the index's columns choose from, as far as no other index decides it."""
        found, keys = [], dict[str, Unit | None]()
        for name in names:
            column = self.columns[name]
            if column.slot is not None or column.mask is None or (column.parent and column.parent.owner):
                continue
            if isinstance(column.rule, MakeReference):
                if column.parent and column.parent.name not in keys:
                    unit = keys[column.parent.name] = self._key(column.parent.name, column.parent.rows, names)
                    if unit:
                        found.append(unit)
            elif column.rule.making(column.mask) == "indexed" and (space := column.rule.made_space(column.mask)):
                found.append(Unit((name,), space))
        return found

    def _key(self, name: str, rows: int, names: Sequence[str]) -> Unit | None:
        """A foreign key tells its parent's row by all its columns only."""
        columns = tuple(c.name for c in self.columns.values() if c.parent and c.parent.name == name)
        return Unit(columns, rows) if set(columns) <= set(names) else None

    def _refuse_nulls(self, index: Index, names: list[str]) -> None:
        nulls = [n for n in names if may_be_null(self.columns[n])]
        if nulls:
            self.problems.error(
                "not-unique", f"{self.table.name} index {index.name}",
                f"NULLs do not differ in it, and these columns have several: {', '.join(nulls)}",
                "Give them a rule without NULLs.",
            )  # fmt: skip

    def _refuse(self, index: Index, names: list[str]) -> None:
        where = f"{self.table.name} index {index.name}"
        made = ", ".join(f"{n} ({self.columns[n].rule.generator})" for n in names) or "no column that is made"
        total = 1
        for unit in self._units(names):
            total *= unit.space
        for name in names:
            column = self.columns[name]
            if column.mask and column.rule.making(column.mask) in ("exact", "probable"):
                total = max(total, column.rule.made_space(column.mask) or 1)
        if total > 1:
            self.problems.error(
                "capacity", where, f"{self.rows:,} rows, and {made} make {total:,} different ones at most",
                "Make fewer rows, or let these columns choose from more: a wider range, a longer pattern, more parent rows."
                + (" Of events, sequence.length_max bounds the rows." if self.events else ""),
            )  # fmt: skip
        else:
            self.problems.error(
                "not-unique", where, f"unique, and nothing makes rows differ in {made}",
                "Give one of the columns key, make.sequence, make.pattern, or make.number with a range wide enough.",
            )  # fmt: skip

    def _proved(self, about: str, reason: str) -> None:
        self.proofs.append(Proof(about=about, verdict="proved", reason=reason))


def may_be_null(column: PlannedColumn) -> bool:
    """Whether some of its rows are NULL."""
    rule = column.rule
    first = column.parent is not None and column.parent.earlier and column.mask is not None and column.mask.nullable
    drawn = isinstance(rule, Ai) and column.mask is not None and column.mask.nullable
    return isinstance(rule, Null) or (isinstance(rule, Made) and rule.null_share > 0) or first or drawn
