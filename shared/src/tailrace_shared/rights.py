"""Who may do what on Kafka: the rights of every party, as data. Scripts, tests and documentation are made from it.

A reader cannot read what is masked, a writer cannot read what is raw, a generator decides nothing, and who operates reads records
and tells facts. Kafka grants rights on names and prefixes of names (KIP-290), so that no run needs rights of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tailrace_shared.topics import LANE_TOPICS, RUN_TOPICS

Party = Literal["reader", "generator", "trainer", "writer", "operator"]
"""The four services, and whoever types ``tailrace`` commands."""
Resource = Literal["topic", "group"]
Operation = Literal["Read", "Write", "Create", "Delete", "Describe", "DescribeConfigs"]
"""Of Kafka's own list, those that Tailrace asks for. Read, Write and Delete imply Describe."""

PARTIES: Final[tuple[Party, ...]] = get_args(Party)
CONTROL: Final = ("jobs", "facts", "tasks")

DATA: Final[Mapping[Party, Mapping[str, tuple[Operation, ...]]]] = {
    "reader": {
        "jobs": ("Read",),
        "facts": ("Write",),
        "tasks": ("Read",),
        "plan": ("Read", "Write"),
        "work": ("Read",),
        "raw": ("Write",),
        "training": ("Write",),
        "changes": ("Read", "Write"),  # who takes a capture over reads where it ended
    },
    "generator": {
        "jobs": ("Read",),
        "facts": ("Write",),
        "plan": ("Read",),
        "orders": ("Read",),
        "raw": ("Read",),
        "models": ("Read", "Write"),  # pools of masked keys
        "changes": ("Read",),
        "masked": ("Write",),
        "masked-changes": ("Write",),
    },
    "trainer": {
        "jobs": ("Read",),
        "facts": ("Write",),
        "tasks": ("Read",),
        "plan": ("Read",),
        "training": ("Read",),
        "models": ("Write",),
    },
    "writer": {
        "jobs": ("Read", "Write"),
        "facts": ("Read", "Write"),
        "tasks": ("Write",),
        "plan": ("Read", "Write"),
        "work": ("Write",),
        "orders": ("Write",),
        "masked": ("Read",),
        "masked-changes": ("Read",),
        "models": ("Read", "Write"),  # what was learned is kept, and put there again for a later run
    },
    "operator": {"jobs": ("Read",), "facts": ("Write",)},
}
"""What a party reads and writes, by kind of topic. What is not here is refused."""


@dataclass(frozen=True, order=True)
class Right:
    """One line of an access list."""

    resource: Resource
    name: str
    prefixed: bool
    """Whether ``name`` is the beginning of names, or a whole one."""
    operation: Operation


def rights_of(party: Party, namespace: str) -> list[Right]:
    """All rights of a party in a namespace, sorted."""
    return sorted({*_data(party, namespace), *_administration(party, namespace)})


def _data(party: Party, namespace: str) -> Iterator[Right]:
    for kind, operations in DATA[party].items():
        for operation in operations:
            yield _on_topic(namespace, kind, operation)
    if party != "operator":  # it commits nothing
        yield Right("group", f"{namespace}.{party}.", True, "Read")


def _administration(party: Party, namespace: str) -> Iterator[Right]:
    """Every party makes a control topic that is missing; the leader makes, trims and deletes the topics of runs."""
    for kind in CONTROL:
        yield _on_topic(namespace, kind, "Create")
    if party == "writer":
        yield _on_topic(namespace, "facts", "Delete")  # of records that are in the tables
        for topic in (*RUN_TOPICS, *LANE_TOPICS):
            yield _on_topic(namespace, topic, "Create")
            yield _on_topic(namespace, topic, "Delete")  # of consumed records, and of the topic at its run's end
        for service in ("reader", "generator", "trainer"):  # how far they are, and whether they have left
            yield Right("group", f"{namespace}.{service}.", True, "Describe")
    if party == "operator":  # what `tailrace check` looks at
        yield Right("topic", f"{namespace}.", True, "Describe")
        yield Right("topic", f"{namespace}.", True, "DescribeConfigs")
        yield Right("group", f"{namespace}.", True, "Describe")


def _on_topic(namespace: str, kind: str, operation: Operation) -> Right:
    """A control topic is one; of a run's topics there is one per run, all with the same prefix."""
    if kind in CONTROL:
        return Right("topic", f"{namespace}.{kind}", False, operation)
    return Right("topic", f"{namespace}.{kind}.", True, operation)


def table() -> str:
    """The matrix in Markdown: kinds of topics by parties, R for reading and W for writing."""
    lines = ["| topic | " + " | ".join(PARTIES) + " |", "|---" * (len(PARTIES) + 1) + "|"]
    for kind in (*CONTROL, *RUN_TOPICS, *LANE_TOPICS):
        cells = ["".join(o[0] for o in DATA[party].get(kind, ())) or "–" for party in PARTIES]
        lines.append(f"| `{kind}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
