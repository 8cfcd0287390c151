"""Planned columns: wire type, generator, what its kernel is built from; and all that a column alone can get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tailrace_shared.catalogue.model import Catalogue, Column, Table
from tailrace_shared.generators import (
    Constant,
    GeneratorSpec,
    Key,
    MaskColumn,
    MaskText,
    Null,
    UniqueMock,
    key_limit,
)
from tailrace_shared.plan.demands import null_demand
from tailrace_shared.plan.domains import Closure, Domains, folds, in_unique_index
from tailrace_shared.plan.fit import misfit
from tailrace_shared.plan.model import PlannedColumn
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import Decision
from tailrace_shared.plan.scope import ColumnRef, ScopedTable
from tailrace_shared.types import Family

if TYPE_CHECKING:
    from tailrace_shared.plan.facts import SourceFacts

TOP_REGIONS = {"int2": 1, "int4": 1 << 30, "int8": 1 << 53}
"""Where the highest region of an integer type begins: masked keys there leave no room above for the environment's own."""


def plan_columns(
    scoped: ScopedTable,
    destination: Catalogue,
    decisions: Mapping[ColumnRef, Decision],
    domains: Domains,
    facts: SourceFacts,
    problems: Problems,
) -> tuple[PlannedColumn, ...]:
    """The columns of a table's wire schema, in the source's order."""
    target = destination.table(scoped.name)
    found = []
    for column in scoped.table.columns:
        ref = ColumnRef(scoped.name, column.name)
        if ref not in decisions:
            continue
        theirs = target.column(column.name) if target else None
        if target and theirs is None:
            problems.error(
                "missing-column", ref, "the destination's table has no such column",
                "Add it to the destination, or exclude the table.",
            )  # fmt: skip
        planned = _plan(scoped.table, target, column, theirs or column, decisions[ref], domains.of(ref), ref, problems)
        _check_column(planned, column, theirs or column, ref, facts, problems)
        found.append(planned)
    if target:
        _check_unfed(target, {c.name for c in found}, problems)
    if not found:
        problems.error("no-columns", scoped.name, "the table has no column to carry", "Exclude it.")
    return tuple(found)


def _plan(
    source: Table,
    target: Table | None,
    column: Column,
    theirs: Column,
    decision: Decision,
    closure: Closure | None,
    ref: ColumnRef,
    problems: Problems,
) -> PlannedColumn:
    spec = _unique_mode(decision.spec, closure)
    mask = None
    if spec.masks and not isinstance(spec, Null | Constant):
        mask = MaskColumn(
            type=column.type,
            domain=_domain(spec, closure, ref),
            family=_family(column, closure, problems),
            unique=in_unique_index(column.name, source, target, alone=True),
            folded=closure.folded
            if closure
            else any(folds(t, c) for t, c in ((source, column), (target, theirs)) if t),
            max_chars=theirs.type.length,
        )
        if (column.loose or theirs.loose) and closure:
            problems.error(
                "loose-collation", ref, "its collation equates more than upper and lower case, which no mask can follow",
                "Duplicate the column, or change its collation.",
            )  # fmt: skip
    return PlannedColumn(
        name=column.name,
        type=column.type,
        destination_type=theirs.type,
        rule=spec,  # type: ignore[arg-type]  # every spec of the registry is in the union
        mask=mask,
        why=decision.why,
        masked=mask is not None,
        cast=column.cast,
    )


def _unique_mode(spec: GeneratorSpec, closure: Closure | None) -> GeneratorSpec:
    """A mock in a unique index, or tied to a column in one, carries enough of the hash."""
    if isinstance(spec, UniqueMock) and closure and closure.unique:
        return spec.model_copy(update={"unique": True})
    return spec


def _domain(spec: GeneratorSpec, closure: Closure | None, ref: ColumnRef) -> str:
    """Explicit name; else the closure's root; a column on its own shares its generator's family."""
    if closure and (closure.named or closure.shared or isinstance(spec, Key)):
        return closure.domain
    if spec.domain:
        return spec.domain
    return str(ref) if isinstance(spec, Key) else spec.domain_family


def _family(column: Column, closure: Closure | None, problems: Problems) -> Family:
    if closure is None or not closure.shared:
        return column.type.family
    if closure.family is None:
        problems.error(
            "mixed-domain", closure.domain,
            f"equal values of {' and '.join(sorted(closure.families))} columns cannot be masked alike: "
            + ", ".join(str(m) for m in closure.members[:4]),
            "Duplicate these columns, or give them one type.",
        )  # fmt: skip
        return column.type.family
    return closure.family


def _check_column(
    planned: PlannedColumn, column: Column, theirs: Column, ref: ColumnRef, facts: SourceFacts, problems: Problems
) -> None:
    spec = planned.rule
    mask = planned.mask or MaskColumn(
        type=theirs.type if isinstance(spec, Constant) else column.type,
        domain=str(ref),
        family=column.type.family,
        max_chars=theirs.type.length,
    )
    if not spec.from_value:
        problems.error(
            "needs-ordinal", ref, f"{spec.generator} makes values from nothing, and the rows of this table are carried",
            "Give it another rule, or the table the mode generate or synthesize.",
        )  # fmt: skip
        return
    refusals = spec.check(mask)
    for refusal in refusals:
        problems.error(refusal.code.replace(".", "-"), ref, refusal.reason, _sentence(refusal.remedy))
    reason = None if refusals else misfit(column.type, theirs.type, spec, mask)
    if reason:
        problems.error("type", ref, reason, "Change the destination's column, or give the column a rule that fits.")
    _check_nulls(planned, column, theirs, ref, facts, problems)
    if isinstance(spec, Key) and not refusals:
        _check_key(planned, ref, facts, problems)
    if isinstance(spec, Key | MaskText) and str(ref) in facts.unchangeable:
        problems.warning(
            "unchangeable-text", ref,
            f"some values have no letter and no digit, and {spec.generator} keeps punctuation in place: they arrive as they are",
            "Give it a mock, mask.hash, constant or null if such a value says anything.",
        )  # fmt: skip


def _check_nulls(
    planned: PlannedColumn, column: Column, theirs: Column, ref: ColumnRef, facts: SourceFacts, problems: Problems
) -> None:
    if theirs.nullable:
        return
    nulls = facts.demands.get(null_demand(ref))
    if isinstance(planned.rule, Null):
        if planned.why == "job":
            problems.error("not-null", ref, "null does not go into a NOT NULL column", "Give it constant or duplicate.")
        else:
            lacks = "" if planned.why.endswith("policy null") else f", no generator masks {column.type.name}"
            problems.error(
                "no-mask-for-type", ref, f"{planned.why}{lacks}, and the column is NOT NULL",
                "Give it a rule: constant, or duplicate if it holds nothing personal.",
            )  # fmt: skip
    elif nulls and planned.rule.nulls == "kept":
        problems.error(
            "null-in-source", ref, f"NOT NULL in the destination only, and {nulls:,} rows of the source have NULL",
            "Drop NOT NULL there, fill the NULLs of the source, or leave those rows out (`where`).",
        )  # fmt: skip
    elif nulls is None and (column.nullable or not column.not_null_proved):
        problems.warning(
            "nullable-source", ref, "NOT NULL in the destination only: a NULL of the source fails the load",
            "Drop NOT NULL there, or fill the NULLs of the source.",
        )  # fmt: skip


def _check_key(planned: PlannedColumn, ref: ColumnRef, facts: SourceFacts, problems: Problems) -> None:
    """Large keys: no room above for the environment's own, or beyond a numeric's digits; numerics that are no integers."""
    broken = facts.no_integers.get(str(ref))
    if broken:
        problems.error(
            "key-fraction", ref,
            f"it is joined with integers, and {broken:,} values of it are none (a fraction, NaN) or beyond bigint",
            "Duplicate the key that the two refer to, or mend these values.",
        )  # fmt: skip
    largest = facts.largest.get(str(ref))
    if largest is None or planned.mask is None:
        return
    limit = key_limit(planned.mask)
    if limit is not None and largest > limit:
        problems.error(
            "key-digits", ref, f"{planned.type.name} has too few digits for the masked keys of this column",
            "Widen the destination's column, or duplicate the key.",
        )  # fmt: skip
    top = TOP_REGIONS.get(planned.type.base)
    if top is not None and largest >= top:
        problems.warning(
            "top-region", ref, f"keys reach the highest region of {planned.type.base}: masked ones lie up to its end",
            "New rows in the destination may collide with them; a wider type leaves room.",
        )  # fmt: skip


def _check_unfed(target: Table, fed: set[str], problems: Problems) -> None:
    for column in target.columns:
        if column.name not in fed and not column.nullable and not column.has_default and not column.generated:
            problems.error(
                "unfed-column", f"{target.name}.{column.name}",
                "NOT NULL without a default in the destination, and the source has no such column",
                "Give it a default, or drop it.",
            )  # fmt: skip


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".") if text else ""
