"""Tensors as one byte string, in the safetensors format: a length, a JSON header, the raw little-endian buffers.

The format has no code in it, and reading is bounds-checked here: every tensor lies inside the buffer, without gap or overlap, as
the format's specification asks (https://github.com/huggingface/safetensors, section *Format*). Writing is canonical (sorted names,
no timestamps), so that equal content has equal bytes and a digest of the bytes is a digest of the content.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace_shared.errors import TerminalError

Tensor = npt.NDArray[Any]

LENGTH_BYTES = 8
ALIGNMENT_BYTES = 8
"""Buffers start on such a boundary, so that they can be used in place."""
HEADER_BYTES_MAX = 32 * 1024 * 1024
"""A header holds the labels of categories; above this it is no header of ours."""
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "|u1"}
_NAMES = {np.dtype(code): name for name, code in DTYPES.items()}


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """One byte string of named tensors and string metadata. Raises TypeError for a tensor of another type."""
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    buffers, offset = [], 0
    # widest items first, then by name: every buffer is then aligned to its own items
    for name in sorted(tensors, key=lambda key: (-tensors[key].dtype.itemsize, key)):
        array = np.asarray(tensors[name], order="C")
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if little.dtype not in _NAMES:
            raise TypeError(f"a tensor of type {array.dtype} has no name in the format")
        entries[name] = {
            "dtype": _NAMES[little.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        buffers.append(little.tobytes())
        offset += array.nbytes
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % ALIGNMENT_BYTES)
    return b"".join([len(header).to_bytes(LENGTH_BYTES, "little"), header, *buffers])


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors (read-only views of ``data``) and metadata. Raises TerminalError (``model.format``) for anything else."""
    try:
        return _unpack(memoryview(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise TerminalError(
            "model.format", "a model is damaged, or is none: it does not hold what its header promises",
            "Take the file as it was published, or train again.",
        ) from None  # fmt: skip


def _unpack(data: memoryview) -> tuple[dict[str, Tensor], dict[str, str]]:
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if len(data) < LENGTH_BYTES or length > min(HEADER_BYTES_MAX, len(data) - LENGTH_BYTES):
        raise ValueError("header")
    entries = json.loads(bytes(data[LENGTH_BYTES : LENGTH_BYTES + length]))
    metadata = entries.pop("__metadata__", {})
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise ValueError("metadata")
    body, expected, tensors = data[LENGTH_BYTES + length :], 0, {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
        if begin != expected or any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("offsets")
        if end - begin != math.prod(shape) * dtype.itemsize or end > len(body):
            raise ValueError("size")
        tensors[name] = np.frombuffer(body[begin:end], dtype).reshape(shape)
        expected = end
    if expected != len(body):
        raise ValueError("trailing bytes")
    return tensors, metadata
