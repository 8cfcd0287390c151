"""Tensors survive their byte string, equal ones have equal bytes, and damaged ones are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis.tensors import DTYPES, pack, unpack

ARRAYS = st.sampled_from(sorted(DTYPES.values())).flatmap(
    lambda code: hnp.arrays(np.dtype(code), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
)
NAMED = st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=5)


@given(NAMED, st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_what_is_packed_comes_back(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:  # type: ignore[type-arg]
    data = pack(tensors, metadata)
    found, said = unpack(data)
    assert said == metadata
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].tobytes() == tensor.tobytes()
    assert pack(dict(reversed(tensors.items())), metadata) == data


def test_the_format_is_that_of_safetensors() -> None:
    library = pytest.importorskip(
        "safetensors.numpy", reason="safetensors is in the environment of make test-synthesis"
    )
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.float16), "c": np.zeros((0, 4))}
    found = library.load(pack(tensors, {"x": "y"}))
    assert all(np.array_equal(found[name], tensor) for name, tensor in tensors.items())
    ours, _ = unpack(library.save(tensors))
    assert all(np.array_equal(ours[name], tensor) for name, tensor in tensors.items())


@given(st.binary(max_size=200))
def test_random_bytes_are_no_model(data: bytes) -> None:
    with pytest.raises(TerminalError) as refused:
        unpack(data)
    assert refused.value.code == "model.format"


def packed(entries: dict[str, object], body: bytes) -> bytes:
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + body


@pytest.mark.parametrize(
    ("entries", "body"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"12345678"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, b""),
        ({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        (
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            },
            b"1234",
        ),
        ({"a": 3}, b""),
        ({"__metadata__": {"a": 1}}, b""),
    ],
)
def test_a_header_that_promises_something_else_is_refused(entries: dict[str, object], body: bytes) -> None:
    with pytest.raises(TerminalError):
        unpack(packed(entries, body))
