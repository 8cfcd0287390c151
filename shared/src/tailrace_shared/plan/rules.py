"""Which generator makes each column: the job's rule, else the rule of what it must agree with, else the policy. Default-deny."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace_shared.catalogue.model import Catalogue, Column, TableName
from tailrace_shared.generators import Duplicate, GeneratorSpec, Key, Null, default_mask
from tailrace_shared.plan.domains import Closure, Domains
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import ColumnRef, ScopedTable

KEY_FAMILIES = Key.families


@dataclass(frozen=True)
class Decision:
    """A column's generator and where it comes from."""

    spec: GeneratorSpec
    why: str


def decide(
    scope: Mapping[TableName, ScopedTable], domains: Domains, destination: Catalogue, problems: Problems
) -> dict[ColumnRef, Decision]:
    """A decision for every column that is carried, in the order of the source's columns."""
    decider = _Decider(scope, domains, problems)
    return {
        ColumnRef(table.name, column.name): decider.column(table, column)
        for table in scope.values()
        if table.loaded
        for column in carried_columns(table, destination, problems)
    }


def carried_columns(table: ScopedTable, destination: Catalogue, problems: Problems) -> list[Column]:
    """The source's columns that the destination does not generate itself."""
    theirs = destination.table(table.name)
    found = []
    for column in table.table.columns:
        target = theirs.column(column.name) if theirs else None
        if (target or column).generated:
            if column.name in table.rules:
                problems.error(
                    "generated-column", f"{table.name}.{column.name}", "the destination generates this column itself",
                    "Remove its rule.",
                )  # fmt: skip
            continue
        found.append(column)
    return found


class _Decider:
    def __init__(self, scope: Mapping[TableName, ScopedTable], domains: Domains, problems: Problems) -> None:
        self.scope = scope
        self.domains = domains
        self.problems = problems
        self._leaders: dict[ColumnRef, tuple[ColumnRef, GeneratorSpec] | None] = {}

    def column(self, table: ScopedTable, column: Column) -> Decision:
        ref = ColumnRef(table.name, column.name)
        own = self.explicit(ref)
        closure = self.domains.of(ref)
        if closure is None:
            return own or self._by_policy(table, column)
        if own and isinstance(own.spec, Null):
            return own  # a foreign key that points nowhere agrees with everything
        leader = self._leader(closure)
        if leader is None:
            return self._closure_by_policy(closure, table, column)
        return own if own else Decision(leader[1], f"follows {leader[0]}")

    def explicit(self, ref: ColumnRef) -> Decision | None:
        """What the job says of the column itself."""
        table = self.scope.get(ref.table)
        if table is None or not table.loaded:
            return None
        if table.mode == "duplicate":
            return Decision(Duplicate(), "table mode duplicate")
        rule = table.rules.get(ref.column)
        return Decision(rule, "job") if rule else None

    def _leader(self, closure: Closure) -> tuple[ColumnRef, GeneratorSpec] | None:
        """The column whose rule all others follow: the root's, else any member's. Contradictions are errors."""
        if closure.root in self._leaders:
            return self._leaders[closure.root]
        said = [
            (ref, found.spec)
            for ref in (closure.root, *(m for m in closure.members if m != closure.root))
            if (found := self.explicit(ref)) and not isinstance(found.spec, Null)
        ]
        leader = said[0] if said else None
        for ref, spec in said[1:]:
            if leader and not _agree(spec, leader[1]):
                self.problems.error(
                    "conflicting-rules", ref,
                    f"its rule {spec.generator} contradicts {leader[1].generator} of {leader[0]}: equal values must stay equal",
                    f"Give both columns one rule, or only {leader[0]}.",
                )  # fmt: skip
        self._leaders[closure.root] = leader
        return leader

    def _by_policy(self, table: ScopedTable, column: Column) -> Decision:
        where = ColumnRef(table.name, column.name)
        match table.policy:
            case "pass":
                return Decision(Duplicate(), "policy pass")
            case "null":
                return Decision(Null(), "policy null")
            case "mask":
                return Decision(default_mask(column.type.family), "policy mask")
        self.problems.error(
            "no-rule", where, "the column has no rule, and the policy is halt",
            f'Write a rule under tables."{table.name}".columns.{column.name}, or set another policy.',
        )  # fmt: skip
        return Decision(Duplicate(), "")

    def _closure_by_policy(self, closure: Closure, table: ScopedTable, column: Column) -> Decision:
        """No member has a rule: the root's table decides for all."""
        decider = next(r for r in (closure.root, *closure.members) if (t := self.scope.get(r.table)) and t.loaded)
        policy = self.scope[decider.table].policy
        ref = ColumnRef(table.name, column.name)
        why = f"policy {policy}" if ref == decider else f"follows {decider}, policy {policy}"
        if policy == "pass":
            return Decision(Duplicate(), why)
        if policy == "null":
            return Decision(Null(), why)
        if policy == "mask":
            keyed = closure.family in KEY_FAMILIES or column.type.family in KEY_FAMILIES
            return Decision(Key() if keyed else default_mask(column.type.family), why)
        tied = [str(m) for m in closure.members if m != decider]
        also = f"; it decides for {', '.join(tied[:3])}{' …' if len(tied) > 3 else ''}" if tied else ""
        self.problems.error(
            "no-rule", decider, f"the key column has no rule, and the policy is halt{also}",
            f'Give it a rule, key or duplicate, under tables."{decider.table}".columns.{decider.column}.',
        )  # fmt: skip
        return Decision(Duplicate(), "")


def _agree(one: GeneratorSpec, other: GeneratorSpec) -> bool:
    """Whether two rules map alike; the domain is the closure's, and a unique mode is the planner's."""
    ignored = {"domain", "unique"}
    return one.model_dump(exclude=ignored) == other.model_dump(exclude=ignored)
