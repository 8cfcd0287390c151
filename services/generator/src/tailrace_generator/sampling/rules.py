"""Whether rows keep rules, and numbers that are above another column's by construction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.sampling.wire import DAY_US, wire_array
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import AboveColumn
from tailrace_shared.synthesis.conditions import Among, Ordered, Rule
from tailrace_shared.types import ColumnType

MARK, NULL = "\x1f", "\x00"
"""Between texts, and in place of NULL, where a combination becomes one text: no PostgreSQL text holds the second."""


def kept(rule: Rule, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which rows keep the rule. Raises TerminalError (``sample.rule``) for columns that are not there or cannot be compared."""
    if missing := [name for name in rule.names if name not in batch.schema.names]:
        raise _refused(rule, f"the model has no column {missing[0]}")
    if isinstance(rule, Among):
        return _among(rule, batch)
    low, high = batch[rule.low], batch[rule.high]
    try:
        low, high = (
            side.cast(pa.float64()) if pa.types.is_decimal(side.type) or pa.types.is_string(side.type) else side
            for side in (low, high)
        )
        held = pc.less(low, high) if rule.strict else pc.less_equal(low, high)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise _refused(rule, f"{rule.low} and {rule.high} cannot be compared") from None
    return np.asarray(pc.fill_null(held, True).to_numpy(zero_copy_only=False))


def _among(rule: Among, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    texts = [pc.fill_null(batch[name].cast(pa.string()), NULL) for name in rule.columns]
    joined = pc.binary_join_element_wise(*texts, MARK)
    allowed = [MARK.join(NULL if text is None else text for text in values) for values in rule.combinations]
    return np.asarray(pc.is_in(joined, pa.array(allowed, pa.string())).to_numpy(zero_copy_only=False))


def raised(column: AboveColumn, differences: pa.Array, over: pa.Array, over_type: ColumnType) -> pa.Array:
    """The column's values, from how much they are above another's."""
    below = _numbers(over, over_type)
    below = np.where(np.isnan(below), column.base, below)
    by = np.asarray(differences.to_numpy(zero_copy_only=False), np.float64)
    nulls = np.isnan(by)
    return wire_array(below + np.nan_to_num(by), nulls, column.types[0], column.number.step)


def _numbers(values: pa.Array, kind: ColumnType) -> npt.NDArray[np.float64]:
    """In the unit that is learned; NaN for NULL."""
    if kind.family == "date":
        values = pc.multiply(values.cast(pa.int32()).cast(pa.float64()), float(DAY_US))
    elif pa.types.is_timestamp(values.type) or pa.types.is_time(values.type):
        values = values.cast(pa.int64())
    cast = values.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(cast, float("nan")).to_numpy(zero_copy_only=False), np.float64)


def _refused(rule: Ordered | Among, reason: str) -> TerminalError:
    return TerminalError(
        "sample.rule", f"the rule on {', '.join(rule.names)} cannot be checked: {reason}",
        "Name columns of the model, of types that can be compared.",
    )  # fmt: skip
