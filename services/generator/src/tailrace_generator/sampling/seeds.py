"""A seed table as context: values of some columns as the codes that a model would have drawn for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import CategoryColumn, ColumnEncoding, Number, NumberColumn, TogetherColumn
from tailrace_shared.synthesis.network import Codes
from tailrace_shared.synthesis.tensors import Tensor


def codes_of(column: ColumnEncoding, tensors: Mapping[str, Tensor], given: Mapping[str, pa.Array]) -> Sequence[Codes]:
    """Codes of every token of a column; what the model does not know is what it knows as rare, or the nearest.

    Raises TerminalError (``sample.seed``) for forms that cannot be given, and for a value or NULL that the model has nothing for.
    """
    if isinstance(column, TogetherColumn) and set(column.columns) <= set(given):
        return [_together(column, given)]
    if isinstance(column, CategoryColumn):
        return [_category(column, given[column.columns[0]])]
    if isinstance(column, NumberColumn):
        return _number(column, tensors, given[column.columns[0]])
    raise _refused(column, f"columns of the form {column.form} cannot be given")


def _together(column: TogetherColumn, given: Mapping[str, pa.Array]) -> Codes:
    known = {label: place + int(column.rare) for place, label in enumerate(column.labels)}
    rows = zip(*(given[name].cast(pa.string()).to_pylist() for name in column.columns), strict=True)
    codes = np.array([known.get(row, -1) for row in rows], np.int32)
    if (codes < 0).any() and not column.rare:
        raise _refused(column, "a combination was never seen where it was learned")
    return np.maximum(codes, 0)


def _category(column: CategoryColumn, values: pa.Array) -> Codes:
    shift = int(column.nulls) + int(column.rare)
    texts = values.cast(pa.string())
    found = pc.index_in(texts, pa.array(column.labels, pa.string()), skip_nulls=True)
    places = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    nulls = np.asarray(texts.is_null().to_numpy(zero_copy_only=False))
    if nulls.any() and not column.nulls:
        raise _refused(column, "it was never NULL where it was learned")
    if (places[~nulls] < 0).any() and not column.rare:
        raise _refused(column, "a value of it was never seen where it was learned")
    codes: Codes = np.where(nulls, 0, np.where(places < 0, int(column.nulls), places + shift)).astype(np.int32)
    return codes


def _number(column: NumberColumn, tensors: Mapping[str, Tensor], values: pa.Array) -> Sequence[Codes]:
    nulls = np.asarray(values.is_null().to_numpy(zero_copy_only=False))
    if nulls.any() and not column.nulls:
        raise _refused(column, "it was never NULL where it was learned")
    try:
        numbers = pc.fill_null(values.cast(pa.float64(), safe=False), 0).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _refused(column, "one of its values is no number") from None
    coarse, fine = _coded(column.number, tensors, np.asarray(numbers, np.float64))
    first: Codes = np.where(nulls, 0, coarse + int(column.nulls)).astype(np.int32)
    return [first] if not column.number.bins else [first, np.where(nulls, 0, fine).astype(np.int32)]


def _coded(number: Number, tensors: Mapping[str, Tensor], values: npt.NDArray[np.float64]) -> tuple[Codes, Codes]:
    atoms, fine = np.asarray(tensors.get("number.atoms", np.zeros(0))), np.zeros(len(values), np.int32)
    right = np.clip(np.searchsorted(atoms, values), 0, max(0, len(atoms) - 1))
    left = np.maximum(right - 1, 0)
    nearest = right
    if len(atoms):
        nearest = np.where(np.abs(values - atoms[left]) <= np.abs(atoms[right] - values), left, right)
    if not number.bins:
        return nearest.astype(np.int32), fine
    knots = tensors["number.knots"]
    place = np.clip(np.searchsorted(knots[:, 0], values, side="right") - 1, 0, number.bins - 1)
    per_cell = (knots.shape[1] - 1) // number.cells
    edges = knots[:, per_cell:-1:per_cell]
    fine = (values[:, None] >= edges[place]).sum(axis=1).astype(np.int32)
    exact = (atoms[nearest] == values) if len(atoms) else np.zeros(len(values), np.bool_)
    return np.where(exact, nearest, len(atoms) + place).astype(np.int32), fine


def _refused(column: ColumnEncoding, reason: str) -> TerminalError:
    return TerminalError(
        "sample.seed", f"column {column.columns[0]} cannot be given as a seed: {reason}",
        "Give categories and numbers that the model knows; inspect the model for them.",
    )  # fmt: skip
