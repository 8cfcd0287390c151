"""What the trainer asks of its child process, and the lines in which the child answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from tailrace_shared.messages import Failure
from tailrace_shared.synthesis import Privacy
from tailrace_shared.types import ColumnType, Frozen

Form = Literal["category", "number", "pattern", "words", "list"]


class LearnColumn(Frozen):
    """A column to learn."""

    name: str
    type: ColumnType
    nullable: bool = True
    form: Form | None = None
    """Instead of the one that the data suggest."""


class LearnEvents(Frozen):
    """A second table, whose rows belong to those of the first and have an order."""

    table: str
    columns: tuple[LearnColumn, ...]
    """To learn: among them the one of ``order``, without keys."""
    key: str
    """The column of the first table that its rows are referred to by; it need not be learned."""
    foreign_key: str
    """The events' column that refers to it."""
    order: str | None = None
    """The events' number, date or timestamp that puts them in order; None: the order of their rows."""
    length_max: int = Field(1_000, ge=1)
    """Events that an entity may have; never more than k entities have."""
    epochs_max: int = Field(60, ge=1)


class LearnRequest(Frozen):
    """All that training needs beside the rows, which follow as one Arrow stream; with ``events``, theirs as a second one."""

    table: str
    columns: tuple[LearnColumn, ...]
    seed: int
    privacy: Privacy = Field(default_factory=Privacy)
    entity: str | None = None
    """The column that says to whom a row belongs; without one, every row is an entity of its own."""
    first: tuple[str, ...] = ()
    """Columns to be drawn first, so that conditions on them are exact."""
    together: tuple[tuple[str, ...], ...] = ()
    """Columns whose values only occur in combinations that the rows have."""
    ordered: tuple[tuple[str, str], ...] = ()
    """Pairs of columns of which the second is never below the first."""
    events: LearnEvents | None = None
    """Makes the model one of entities and events: a ``SequenceArtefact``."""
    epochs_max: int = Field(60, ge=1)
    bytes_max: int = Field(ge=1)
    """Of the model."""


class Progress(Frozen):
    """After an epoch."""

    answer: Literal["progress"] = "progress"
    epoch: int
    loss: float
    """Nats per row that was held out."""
    remaining_s: float
    """At most, unless the model still improves."""


class Learned(Frozen):
    """The model's bytes follow this line."""

    answer: Literal["learned"] = "learned"
    bytes: int


class Failed(Frozen):
    """A foreseeable failure."""

    answer: Literal["failed"] = "failed"
    failure: Failure


Answer = Annotated[Progress | Learned | Failed, Field(discriminator="answer")]
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
