"""COPY CSV to typed Arrow columns, and back to text for single columns that hold what Arrow's type cannot.

PostgreSQL sends one row per CopyData message and the driver hands out whole messages, so a piece of the stream ends at a row
end and can be parsed alone. NULL is an unquoted empty field and the empty string is ``""``; with ``ignore_empty_lines`` a NULL
in a one-column table would vanish. Typed parsing refuses infinity, BC, 24:00 and numeric NaN; it never changes a value.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from tailrace_reader.layout import Layout
from tailrace_shared.errors import TerminalError

_COLUMN = re.compile(r"CSV column #(\d+)")
_UUID = np.dtype(
    {"names": list("abcdefgh"), "formats": ["u4"] * 8, "offsets": [0, 4, 9, 14, 19, 24, 28, 32], "itemsize": 36}
)
"""The 36 characters of a UUID as 8 words of 4 digits, without the dashes."""
_BYTE_ORDER_MARK = "\ufeff".encode()
_LEAST_BLOCK = 64
"""pyarrow wants a block that is not empty; the last row may lack its line end."""


class Parser:
    """Parses one table's pieces; remembers which columns have not fitted their type, to try text first from then on.

    That memory only saves work: whether a batch carries a column typed or as text is decided from the batch's own rows.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._suspects: set[int] = set()

    def parse(self, raw: bytes) -> Chunk:
        """One piece of whole rows. Raises TerminalError (``source.encoding``) for text that is not UTF-8."""
        layout = self.layout
        if not layout.names:
            return Chunk(self, raw, raw.count(b"\n"), [], frozenset())
        untyped = set(self._suspects)
        columns: list[pa.Array] | None = None
        while columns is None:
            columns, complaint = self._read(raw, untyped)
            if columns is None:
                untyped |= self._failing(raw, untyped, complaint)
        self._suspects |= untyped
        for i, wire in enumerate(layout.wires):
            if wire == "uuid":
                columns[i] = uuid_bytes(columns[i])
        return Chunk(self, raw, len(columns[0]), columns, frozenset(untyped))

    def text(self, raw: bytes, column: int) -> pa.Array:
        """One column of a piece as PostgreSQL wrote it."""
        return _read_csv(raw, len(self.layout.names), {column: pa.string()}, only=column)[0]

    def _read(self, raw: bytes, untyped: set[int]) -> tuple[list[pa.Array] | None, str]:
        """The columns, or what the parser complains of. That may quote a value: it is looked at and goes no further."""
        types = {i: self._csv_type(i, untyped) for i in range(len(self.layout.names))}
        try:
            return _read_csv(raw, len(types), types), ""
        except pa.ArrowInvalid as error:
            return None, str(error)

    def _csv_type(self, column: int, untyped: set[int]) -> pa.DataType:
        text = column in untyped or self.layout.wires[column] in ("text", "uuid")
        return pa.string() if text else self.layout.types[column]

    def _failing(self, raw: bytes, untyped: set[int], message: str) -> set[int]:
        """The columns that the parser has just refused: named by its message, else found one by one."""
        named = _COLUMN.search(message)
        suspects = [int(named[1])] if named else range(len(self.layout.names))
        failing = {i for i in suspects if not _parses(raw, len(self.layout.names), i, self._csv_type(i, untyped))}
        text = [i for i in sorted(failing) if self._csv_type(i, untyped) == pa.string()]
        if text or not failing:
            where = f"column {self.layout.names[text[0]]!r}" if text else "a row"
            raise TerminalError(
                "source.encoding",
                f"{where} cannot be read as UTF-8 text",
                "Repair the value in the source, or exclude the table: databases in SQL_ASCII accept any bytes.",
            )
        return failing


class Chunk:
    """A piece of the stream: its raw bytes, and columns typed where the whole piece fits the planned type."""

    def __init__(self, parser: Parser, raw: bytes, rows: int, columns: list[pa.Array], untyped: frozenset[int]) -> None:
        self.rows = rows
        self.columns = columns
        self.untyped = untyped
        self._parser = parser
        self._raw = raw
        self._text: dict[int, pa.Array] = {}

    def text(self, column: int) -> pa.Array:
        """The column as text, whether it parsed typed or not."""
        if column in self.untyped:
            return self.columns[column]
        if column not in self._text:
            self._text[column] = self._parser.text(self._raw, column)
        return self._text[column]

    @cached_property
    def weights(self) -> NDArray[np.int64]:
        """Bytes per row: of the columns that the plan carries as text, and a constant per column.

        A function of values and plan alone: a column that falls back to text weighs what it weighs typed.
        """
        layout = self._parser.layout
        weights = np.full(self.rows, layout.row_bytes, np.int64)
        for wire, column in zip(layout.wires, self.columns, strict=True):
            if wire == "text":
                offsets = np.frombuffer(column.buffers()[1], np.int32, self.rows + 1, 4 * column.offset)
                weights += offsets[1:] - offsets[:-1]
        return weights


def typed(text: pa.Array, to: pa.DataType) -> pa.Array | None:
    """Text of a typed column parsed as its type, by the parser that reads whole rows; None when a value does not fit."""
    lines = pa.ListArray.from_arrays(pa.array([0, len(text)], pa.int32()), pc.fill_null(text, ""))
    raw = pc.binary_join(lines, "\n")[0].as_buffer().to_pybytes() + b"\n"
    try:
        return _read_csv(raw, 1, {0: to})[0]
    except pa.ArrowInvalid:
        return None


def read_rows(raw: bytes, types: Sequence[pa.DataType]) -> list[pa.Array]:
    """Columns of whole rows of plain fields, NULL as nothing. Raises ``pa.ArrowInvalid``, whose text may quote a value."""
    return _read_csv(raw, len(types), dict(enumerate(types)))


def uuid_bytes(text: pa.Array) -> pa.Array:
    """UUIDs as PostgreSQL prints them to 16 bytes each, the whole array in one step."""
    rows = len(text)
    offsets = np.frombuffer(text.buffers()[1], np.int32, rows + 1, 4 * text.offset)
    texts = np.frombuffer(text.buffers()[2] or b"", _UUID, (offsets[-1] - offsets[0]) // _UUID.itemsize, offsets[0])
    digits = np.empty((len(texts), len(_UUID.names or ())), np.uint32)
    for i, name in enumerate(_UUID.names or ()):
        digits[:, i] = texts[name]
    data = binascii.unhexlify(digits.data)
    if text.null_count == 0:
        return pa.Array.from_buffers(pa.binary(16), rows, [None, pa.py_buffer(data)])
    spread = np.zeros((rows, 16), np.uint8)
    present = offsets[1:] > offsets[:-1]
    spread[present] = np.frombuffer(data, np.uint8).reshape(-1, 16)
    bitmap = np.packbits(present, bitorder="little")
    return pa.Array.from_buffers(pa.binary(16), rows, [pa.py_buffer(bitmap), pa.py_buffer(spread)], text.null_count)


def _parses(raw: bytes, width: int, column: int, as_type: pa.DataType) -> bool:
    try:
        _read_csv(raw, width, {column: as_type}, only=column)
    except pa.ArrowInvalid:
        return False
    return True


def _read_csv(raw: bytes, width: int, types: Mapping[int, pa.DataType], only: int | None = None) -> list[pa.Array]:
    """Columns of whole CSV rows, one array each. One block and no threads: the piece is small and the cores are busy."""
    names = [str(i) for i in range(width)]
    if raw.startswith(
        _BYTE_ORDER_MARK
    ):  # the first value's own: the parser takes the first for one of a file, and drops it
        raw = _BYTE_ORDER_MARK + raw
    table = pyarrow.csv.read_csv(
        pa.py_buffer(raw),
        pyarrow.csv.ReadOptions(column_names=names, block_size=len(raw) + _LEAST_BLOCK, use_threads=False),
        pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pyarrow.csv.ConvertOptions(
            column_types={str(i): type_ for i, type_ in types.items()},
            include_columns=None if only is None else [str(only)],
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    return [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
