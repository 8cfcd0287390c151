"""All kernels by their generators' names: what `tailrace_shared.generators.GENERATORS` describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tailrace_generator.kernels.dates import DateKernel
from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.keys import build_key
from tailrace_generator.kernels.masks import HashKernel, TextKernel
from tailrace_generator.kernels.mocks import MockKernel
from tailrace_generator.kernels.noise import NumberKernel
from tailrace_generator.kernels.plain import ConstantKernel, DuplicateKernel, NullKernel
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import GeneratorSpec, MaskColumn

KERNELS: Mapping[str, Callable[[Any, MaskColumn, MaskSecret], Kernel]] = MappingProxyType(
    {
        "duplicate": DuplicateKernel,
        "null": NullKernel,
        "constant": ConstantKernel,
        "key": build_key,
        "mask.text": TextKernel,
        "mask.hash": HashKernel,
        "mask.number": NumberKernel,
        "mask.date": DateKernel,
        "mock.first_name": MockKernel,
        "mock.last_name": MockKernel,
        "mock.full_name": MockKernel,
        "mock.email": MockKernel,
        "mock.phone": MockKernel,
        "mock.company": MockKernel,
        "mock.street": MockKernel,
        "mock.city": MockKernel,
        "mock.postcode": MockKernel,
    }
)


def build(spec: GeneratorSpec, column: MaskColumn, secret: MaskSecret) -> Kernel:
    """The kernel that fills a column by a rule.

    Raises TerminalError where the generator cannot fill the column; the plan has refused that before.
    """
    if refused := spec.check(column):
        raise TerminalError(
            refused[0].code, f"column of domain {column.domain}: {refused[0].reason}", refused[0].remedy
        )
    if spec.generator not in KERNELS:
        raise TerminalError(
            "generator.needs-ordinal",
            f"column of domain {column.domain}: {spec.generator} fills generated tables only",
            "choose another generator",
        )
    return KERNELS[spec.generator](spec, column, secret)
