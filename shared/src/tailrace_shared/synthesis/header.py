"""What a model says of itself: columns, tokens, network, privacy settings and training. JSON in the metadata of its tensors."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from tailrace_shared.synthesis.encodings import ColumnEncoding, Token
from tailrace_shared.types import Frozen

FORMAT = 1
"""Raised by every change after which an older sampler would draw other rows, or none."""


class Privacy(Frozen):
    """How values are protected before anything is learned from them."""

    k: int = Field(default=10, ge=2, le=1000)
    """Distinct entities behind every category, atom, edge and knot."""
    rare: Literal["resample", "constant"] = "resample"
    """What rare categories become: another category, or ``replacement`` in columns of text."""
    replacement: str = "*"
    epsilon: float | None = Field(default=None, gt=0, le=100)
    """Differential privacy of an entity: how much its presence may change what is learned. None: no such guarantee."""
    delta: float = Field(default=1e-5, gt=0, le=1e-2)
    """The chance that the guarantee of ``epsilon`` does not hold; far less than one in the number of entities."""


class TokenRef(NamedTuple):
    """A token's place: column (index in ``Header.columns``) and token of that column."""

    column: int
    token: int


class Account(Frozen):
    """How a guarantee of differential privacy was spent: what the accountant was told, so that anybody can count again."""

    sampling_rate: float = Field(gt=0, le=1)
    """The probability of an entity to be in a batch."""
    steps: int = Field(ge=0)
    """Batches."""
    noise: float = Field(ge=0)
    """Standard deviation on a batch's sum of gradients, in units of what one entity can change."""
    histogram_noise: float = Field(ge=0)
    """The same of a histogram that takes one unit."""
    histogram_units: float = Field(ge=0)
    """Of all histograms: values, edges, marginals."""


class Training(Frozen):
    """What the model was learned from, in figures that reveal no row."""

    rows: int
    held_out: int
    seed: int
    epochs: int
    """Epochs behind the weights that were kept."""
    loss: float
    """Nats per row over the rows that were learned from. Under differential privacy, 0 and no digest: nobody may know."""
    held_out_loss: float
    """The same over rows that were not; the gap is what the model has memorised."""
    digest: str
    """Of the encoded rows."""
    account: Account | None = Field(default=None, exclude_if=lambda account: account is None)
    """Of a model under differential privacy. Left out where there is none: a model's bytes are its name."""


class Shape(Frozen):
    """The network: per token an embedding, a hidden layer over the context's embeddings, a residual one, the codes' logits."""

    hidden: int
    widths: tuple[int, ...]
    """Of the embeddings, by place: what is given first, then the tokens in their order."""
    contexts: tuple[tuple[int, ...], ...] | None = None
    """The earlier places that each token sees, ascending; None: all of them."""


class Header(Frozen):
    """All of a model but its tensors."""

    format: Literal[1] = 1
    version: str
    """Of the trainer."""
    table: str
    columns: tuple[ColumnEncoding, ...]
    order: tuple[TokenRef, ...]
    """Tokens in the order of drawing. A token with a single code is not in it."""
    given: tuple[int, ...] = ()
    """Codes of what tokens see, but is not drawn here: of an event, its entity, what came before, where in the sequence it is."""
    network: Shape
    privacy: Privacy
    training: Training

    @model_validator(mode="after")
    def _fits(self) -> Header:
        every = {
            TokenRef(c, t)
            for c, column in enumerate(self.columns)
            for t, token in enumerate(column.tokens())
            if token.codes > 1
        }
        if (
            set(self.order) != every
            or len(self.order) != len(every)
            or len(self.network.widths) != len(self.given) + len(every)
        ):
            raise ValueError("order and columns disagree")
        for place, ref in enumerate(self.order):
            parent = TokenRef(ref.column, self.token(ref).parent)
            if ref.token and parent in every and parent not in self.order[:place]:
                raise ValueError("a token comes before the one that it depends on")
        contexts = self.network.contexts
        if contexts is not None and (
            len(contexts) != len(every)
            or any(
                list(seen) != sorted(set(seen)) or any(not 0 <= s < j for s in seen)
                for j, seen in enumerate(contexts, start=len(self.given))
            )
        ):
            raise ValueError("contexts look ahead")
        return self

    def token(self, ref: TokenRef) -> Token:
        """What a token is."""
        return self.columns[ref.column].tokens()[ref.token]

    def context(self, place: int) -> tuple[int, ...]:
        """What the token at ``place`` of ``order`` sees, as places in ``network.widths``."""
        contexts = self.network.contexts
        return tuple(range(len(self.given) + place)) if contexts is None else contexts[place]
