"""`key`: the bijection of a domain's family, on every column of the domain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import binary16, from_int64s, int64s, words_of
from tailrace_generator.kernels.canonical import canonical, decimal_text, plain_number, uuid_text
from tailrace_generator.kernels.digits import NumberPermutation
from tailrace_generator.kernels.kernel import Kernel, text
from tailrace_generator.kernels.permute import IntegerPermutation, UuidPermutation
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.text_fpe import TextFpe
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import GeneratorSpec, MaskColumn

UUID_TEXT = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
INTEGER_TEXT = r"^-?\d+$"


class IntegerKey(Kernel):
    """int2, int4, int8, and numerics whose domain is joined with integers."""

    def __init__(self, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._permutation = secret.shared(IntegerPermutation, column.domain)

    def mask(self, values: pa.Array) -> pa.Array:
        if pa.types.is_integer(values.type):
            return from_int64s(self._permutation.permute(int64s(values)), values.type)
        written = decimal_text(values) if pa.types.is_decimal(values.type) else values
        moved = pa.array(self._permutation.permute(self._integers(written)))
        if pa.types.is_string(values.type):
            return moved.cast(pa.string())
        try:
            return moved.cast(pa.string()).cast(values.type)
        except pa.ArrowInvalid:
            raise self.unmaskable("its integer key is too large for the column's digits") from None

    def _integers(self, written: pa.StringArray) -> npt.NDArray[np.int64]:
        whole = plain_number(written)
        if not pc.all(pc.match_substring_regex(whole, INTEGER_TEXT)).as_py():
            raise self.unmaskable("its key domain holds integers, and it has a fraction or is not a number")
        try:
            return int64s(whole.cast(pa.int64()))
        except pa.ArrowInvalid:
            raise self.unmaskable("its key domain holds integers, and it is out of the range of bigint") from None


class NumberKey(Kernel):
    """Numerics among themselves: digits move, their count before and after the point stays."""

    def __init__(self, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._permutation = secret.shared(NumberPermutation, column.domain)

    def mask(self, values: pa.Array) -> pa.Array:
        moved = self._permutation.permute(canonical(self.column, values))
        return moved if pa.types.is_string(values.type) else moved.cast(values.type)


class UuidKey(Kernel):
    """Uuids, typed or as text."""

    def __init__(self, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._permutation = secret.shared(UuidPermutation, column.domain)

    def mask(self, values: pa.Array) -> pa.Array:
        if not pa.types.is_string(values.type):
            return binary16(self._permutation.permute(words_of(values)))
        return uuid_text(binary16(self._permutation.permute(self._words(values))))

    def _words(self, written: pa.StringArray) -> npt.NDArray[np.uint64]:
        if not pc.all(pc.match_substring_regex(written, UUID_TEXT)).as_py():
            raise self.unmaskable("it is not a uuid")
        digits = pc.replace_substring(written, "-", "").cast(pa.binary())
        data = np.frombuffer(digits.buffers()[2], np.uint8)
        first = np.frombuffer(digits.buffers()[1], np.int32, len(digits) + 1, 4 * digits.offset)
        data = data[first[0] : first[-1]]
        nibbles = np.where(data <= ord("9"), data - ord("0"), (data | 0x20) - ord("a") + 10).astype(np.uint8)
        return (nibbles[0::2] << 4 | nibbles[1::2]).astype(np.uint8).view(np.uint64).reshape(-1, 2)


class TextKey(Kernel):
    """Text within its shape; `mask.text` is the same function."""

    def __init__(self, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._permutation = secret.shared(TextFpe, column.domain)

    def mask(self, values: pa.Array) -> pa.Array:
        return self._permutation.permute(text(canonical(self.column, values)))


def build_key(spec: GeneratorSpec, column: MaskColumn, secret: MaskSecret) -> Kernel:
    """The kernel of the domain's family; raises TerminalError where there is none (the plan refuses it before)."""
    if refused := spec.check(column):
        raise TerminalError(refused[0].code, refused[0].reason, refused[0].remedy)
    kinds: dict[str, type[IntegerKey | NumberKey | UuidKey | TextKey]] = {
        "integer": IntegerKey,
        "number": NumberKey,
        "uuid": UuidKey,
        "text": TextKey,
    }
    return kinds[column.family](column, secret)
