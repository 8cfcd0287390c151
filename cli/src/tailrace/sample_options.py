"""What ``tailrace sample`` is asked of rows, from words: conditions, rules, weights, fixed columns, a file of seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tailrace_shared.errors import UsageError
from tailrace_shared.synthesis import Between, Condition, Ordered, Rule, Weighted

_COMPARISON: Final = re.compile(r"^\s*(?P<column>.+?)\s*(?P<sign><=|>=|<|=)\s*(?P<value>.*?)\s*$")


@dataclass(frozen=True)
class Asked:
    """As the sampler takes it."""

    conditions: tuple[Condition, ...] = ()
    rules: tuple[Rule, ...] = ()
    seeds: pa.Table | None = None
    """Texts or typed values of some columns, used in turn; None: nothing is given."""

    @property
    def columns(self) -> set[str]:
        """Those that are conditioned or given."""
        return {condition.column for condition in self.conditions} | set(
            () if self.seeds is None else self.seeds.schema.names
        )


def asked_of(
    columns: Sequence[str],
    *,
    where: Sequence[str] = (),
    weight: Sequence[str] = (),
    fix: Sequence[str] = (),
    seed_file: Path | None = None,
) -> Asked:
    """From options. ``columns`` are the model's. Raises UsageError (``models.asked``) that quotes what was not understood."""
    conditions, rules = _where(where, columns)
    for words in weight:
        column, pairs = _split(words, columns, "--weight sex=F:2,M:1")
        conditions.append(Weighted(column=column, weights=_weights(words, pairs)))
    given = {} if seed_file is None else dict(_columns(read_seeds(seed_file)))
    rows = max((len(values) for values in given.values()), default=1)
    for words in fix:
        column, value = _split(words, columns, "--fix sex=F")
        if column in given:
            raise _unclear(words, f"{column} is given already")
        given[column] = pa.array([value] * rows, pa.string())
    for condition in conditions:
        if condition.column in given or sum(other.column == condition.column for other in conditions) > 1:
            raise _unclear(condition.column, "the column is asked for twice")
    seeds = pa.table(given) if given else None
    return Asked(tuple(conditions), tuple(rules), seeds)


def read_seeds(path: Path) -> pa.Table:
    """Rows of a Parquet or CSV file. Raises UsageError (``models.file``)."""
    if path.suffix not in (".parquet", ".csv"):
        raise UsageError("models.file", f"{path} says no format", "Let its name end in .parquet or .csv.")
    try:
        if path.suffix == ".parquet":
            found = pq.read_table(path)
        else:
            names = pa_csv.open_csv(path).schema.names
            as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
            found = pa_csv.read_csv(path, convert_options=as_text)
    except (OSError, pa.ArrowInvalid) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no such file"
        raise UsageError(
            "models.file", f"{path} cannot be read: {reason}", "Name a Parquet or CSV file of seeds."
        ) from None
    if not found.num_rows or not found.num_columns:
        raise UsageError("models.file", f"{path} has no row", "A file of seeds has one row or more.")
    return found


def _columns(seeds: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    return zip(seeds.schema.names, seeds.columns, strict=True)


def _where(where: Sequence[str], columns: Sequence[str]) -> tuple[list[Condition], list[Rule]]:
    limits: dict[str, tuple[float, float]] = {}
    conditions: list[Condition] = []
    rules: list[Rule] = []
    for words in where:
        found = _COMPARISON.match(words)
        if found is None:
            raise _unclear(words, "it compares nothing")
        column, sign, value = found["column"], found["sign"], found["value"]
        if column not in columns:
            raise _unclear(words, f"the model has no column {column}")
        if value in columns and sign != "=":
            low, high = (value, column) if sign == ">=" else (column, value)
            rules.append(Ordered(low=low, high=high, strict=sign == "<"))
        elif sign == "=":
            conditions.append(
                Weighted(column=column, weights=dict.fromkeys((v.strip() for v in value.split(",")), 1.0))
            )
        elif sign == "<":
            raise _unclear(words, "a limit is included: write <= or >=")
        else:
            low_limit, high_limit = limits.get(column, (-math.inf, math.inf))
            limit = _number(words, value)
            limits[column] = (
                (max(low_limit, limit), high_limit) if sign == ">=" else (low_limit, min(high_limit, limit))
            )
    for column, (least, most) in limits.items():
        if least > most:
            raise _unclear(column, f"nothing is above {least:g} and below {most:g}")
        conditions.append(Between(column=column, low=least, high=most))
    return conditions, rules


def _weights(words: str, pairs: str) -> dict[str | None, float]:
    weights: dict[str | None, float] = {}
    for pair in pairs.split(","):
        value, mark, weight = pair.rpartition(":")
        if not mark:
            raise _unclear(words, "a weight follows each value: F:2,M:1")
        weights[value.strip()] = _number(words, weight)
    if min(weights.values()) < 0 or not any(weights.values()):
        raise _unclear(words, "weights are not negative, and one of them is positive")
    return weights


def _split(words: str, columns: Sequence[str], example: str) -> tuple[str, str]:
    column, mark, value = words.partition("=")
    if not mark:
        raise _unclear(words, f"write {example}")
    if column.strip() not in columns:
        raise _unclear(words, f"the model has no column {column.strip()}")
    return column.strip(), value.strip()


def _number(words: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise _unclear(words, "it is no number, and no column of the model")
    return number


def _unclear(words: str, reason: str) -> UsageError:
    return UsageError("models.asked", f"{words!r}: {reason}", "`tailrace sample --help` shows how rows are asked for.")
