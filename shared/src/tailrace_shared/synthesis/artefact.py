"""A model as it travels and is kept: one byte string of tensors and JSON, addressed by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import ValidationError

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis.encodings import (
    AboveColumn,
    MomentColumn,
    Number,
    NumberColumn,
    PlaceColumn,
    WordsColumn,
)
from tailrace_shared.synthesis.header import FORMAT, Header
from tailrace_shared.synthesis.tensors import Tensor, pack, unpack

HEADER_KEY = "tailrace"
MODEL_BYTES_MAX = 7 * 1024 * 1024
"""Of one Kafka message (``max.message.bytes`` is 8 MiB by default), with room for its envelope."""


@dataclass(frozen=True)
class Artefact:
    """A learned model. ``load`` has checked that every tensor is there and of the shape that the header asks for."""

    header: Header
    tensors: Mapping[str, Tensor]

    @cached_property
    def data(self) -> bytes:
        """The byte string; equal models have equal ones."""
        return pack(self.tensors, {HEADER_KEY: self.header.model_dump_json()})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the byte string, as lower-case hex: the model's name."""
        return hashlib.sha256(self.data).hexdigest()

    def save(self, limit: int = MODEL_BYTES_MAX) -> bytes:
        """The byte string. Raises TerminalError (``model.too-large``) above ``limit`` bytes."""
        return fitting(self.data, limit, self.header.table)

    @classmethod
    def load(cls, data: bytes) -> Artefact:
        """From a byte string. Raises TerminalError: ``model.format`` or ``model.version``."""
        tensors, metadata = unpack(data)
        text = of_this_format(metadata)
        try:
            artefact = cls(Header.model_validate_json(text), tensors)
        except ValidationError:
            raise damaged() from None
        artefact.check()
        return artefact

    def check(self) -> None:
        """Raises TerminalError (``model.format``) unless the tensors are those that the header asks for, and finite."""
        if shapes(self.header, self.tensors) != {name: tensor.shape for name, tensor in self.tensors.items()}:
            raise damaged()
        if not all(np.isfinite(tensor).all() for tensor in self.tensors.values()):
            raise damaged()


def fitting(data: bytes, limit: int, table: str) -> bytes:
    """``data``; raises TerminalError (``model.too-large``) above ``limit`` bytes."""
    if len(data) > limit:
        raise TerminalError(
            "model.too-large", f"the model of {table} takes {len(data)} bytes, and a message carries {limit}",
            "Exclude columns, or raise the limit of a message.",
        )  # fmt: skip
    return data


def of_this_format(metadata: Mapping[str, str]) -> str:
    """The header's JSON. Raises TerminalError (``model.version``) for that of another format."""
    text = metadata.get(HEADER_KEY, "")
    if text and f'"format":{FORMAT},' not in text[:40]:
        raise TerminalError(
            "model.version", "the model was written in another format than this release reads",
            "Sample it with the release that wrote it, or train again.",
        )  # fmt: skip
    return text


def damaged() -> TerminalError:
    """What is said of bytes that are no model."""
    return TerminalError(
        "model.format", "a model is damaged, or is none: header and tensors disagree",
        "Take the file as it was published, or train again.",
    )  # fmt: skip


def shapes(header: Header, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's tensors. The number of a bin's gaps is free, and taken from ``tensors``."""
    found: dict[str, tuple[int, ...]] = {}
    for place, column in enumerate(header.columns):
        parts: dict[str, Number] = {}
        match column:
            case NumberColumn() | AboveColumn():
                parts = {"number": column.number}
            case WordsColumn():
                parts = {"words": column.words}
            case MomentColumn():
                parts = {"day": column.day} | ({"clock": column.clock} if column.clock else {})
            case PlaceColumn():
                found[f"c{place}.boxes"] = (column.leaves, column.cells, 4)
        for name, number in parts.items():
            if number.atoms:
                found[f"c{place}.{name}.atoms"] = (number.atoms,)
            if number.bins:
                knots = tensors.get(f"c{place}.{name}.knots")
                gaps = knots.shape[-1] - 1 if knots is not None and knots.ndim else 0
                gaps = gaps if gaps > 0 and gaps % number.cells == 0 else number.cells
                found[f"c{place}.{name}.knots"] = (number.bins, gaps + 1)
    hidden, widths, given = header.network.hidden, header.network.widths, len(header.given)
    found |= {f"g{place}.embedding": (codes, widths[place]) for place, codes in enumerate(header.given)}
    for place, ref in enumerate(header.order):
        codes = header.token(ref).codes
        context = sum(widths[seen] for seen in header.context(place))
        found |= {
            f"n{place}.embedding": (codes, widths[given + place]),
            f"n{place}.in": (context, hidden),
            f"n{place}.in_bias": (hidden,),
            f"n{place}.mid": (hidden, hidden),
            f"n{place}.mid_bias": (hidden,),
            f"n{place}.out": (hidden, codes),
            f"n{place}.out_bias": (codes,),
        }
    return found
