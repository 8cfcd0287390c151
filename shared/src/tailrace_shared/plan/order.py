"""The order of loading where constraints stay: parents first; cycles need the replica role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.references import Sides


def order_of(sides: Sequence[Sides], replica_role: bool, problems: Problems) -> dict[int, tuple[int, ...]]:
    """Per table number, the tables that must be complete before it.

    Batches commit one by one, so a deferrable constraint does not help inside a cycle: its check comes at the commit of a batch
    whose other side may not have arrived. Without the replica role, a cycle is an error.
    """
    edges: dict[int, set[int]] = {}
    for side in sides:
        if side.child and side.parent and side.key.enforced and "truncate" not in (side.child.mode, side.parent.mode):
            edges.setdefault(side.child.number, set()).add(side.parent.number)
            edges.setdefault(side.parent.number, set())
    component = components(edges)
    for side in sides:
        if replica_role or side.child is None or side.parent is None or side.child.number not in edges:
            continue
        if (
            side.parent.number in edges[side.child.number]
            and component[side.child.number] == component[side.parent.number]
        ):
            what = "refers to its own table" if side.child == side.parent else "is part of a cycle"
            problems.error(
                "cycle", f"{side.key.table} foreign key {side.key.name}", f"it {what}, and constraints stay in force",
                "Grant SET ON PARAMETER session_replication_role to the destination's role (15+), or use constraints: bypass.",
            )  # fmt: skip
    return {
        child: tuple(sorted(p for p in parents if component[p] != component[child])) for child, parents in edges.items()
    }


def components(edges: Mapping[int, set[int]]) -> dict[int, int]:
    """Strongly connected components by node (Tarjan 1972, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    component: dict[int, int] = {}
    for start in edges:
        if start in index:
            continue
        work = [(start, iter(sorted(edges[start])))]
        index[start] = low[start] = len(index)
        stack.append(start)
        while work:
            node, following = work[-1]
            step = next(following, None)
            if step is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    while True:
                        member = stack.pop()
                        component[member] = node
                        if member == node:
                            break
            elif step not in index:
                index[step] = low[step] = len(index)
                stack.append(step)
                work.append((step, iter(sorted(edges[step]))))
            elif step not in component:
                low[node] = min(low[node], index[step])
    return component
