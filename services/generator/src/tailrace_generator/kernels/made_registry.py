"""All makers by their generators' names. `make.reference` is not here: it needs the other tables, see `workshop`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tailrace_generator.kernels.made import (
    BooleanMaker,
    ChoiceMaker,
    DateMaker,
    NumberMaker,
    PatternMaker,
    SequenceMaker,
    WordsMaker,
)
from tailrace_generator.kernels.made_keys import ConstantMaker, FromTextMaker, KeyMaker, NullMaker
from tailrace_generator.kernels.maker import Maker
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import GeneratorSpec, MaskColumn
from tailrace_shared.plan.model import Slot

MAKERS: Mapping[str, Callable[[Any, MaskColumn, MaskSecret, Slot | None], Maker]] = MappingProxyType(
    {
        "key": KeyMaker,
        "constant": ConstantMaker,
        "null": NullMaker,
        "mask.hash": FromTextMaker,
        "mock.first_name": FromTextMaker,
        "mock.last_name": FromTextMaker,
        "mock.full_name": FromTextMaker,
        "mock.email": FromTextMaker,
        "mock.phone": FromTextMaker,
        "mock.company": FromTextMaker,
        "mock.street": FromTextMaker,
        "mock.city": FromTextMaker,
        "mock.postcode": FromTextMaker,
        "make.number": NumberMaker,
        "make.date": DateMaker,
        "make.boolean": BooleanMaker,
        "make.choice": ChoiceMaker,
        "make.words": WordsMaker,
        "make.pattern": PatternMaker,
        "make.sequence": SequenceMaker,
    }
)


def build_maker(spec: GeneratorSpec, column: MaskColumn, secret: MaskSecret, slot: Slot | None = None) -> Maker:
    """The maker of a generated column.

    Raises TerminalError where the generator cannot fill it; the plan has refused that before.
    """
    if refused := spec.check(column):
        raise TerminalError(
            refused[0].code, f"column of domain {column.domain}: {refused[0].reason}", refused[0].remedy
        )
    if spec.generator not in MAKERS:
        raise TerminalError(
            "generator.needs-input", f"column of domain {column.domain}: {spec.generator} needs a value to work on",
            "choose a generator that makes values: make.…, key, mock.…, constant or null",
        )  # fmt: skip
    return MAKERS[spec.generator](spec, column, secret, slot)
