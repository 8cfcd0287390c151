"""Latitude and longitude together: leaves of a k-d tree with cells in them, each a box around the places of k entities or more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.protection import Codes, Entities, Floats, bounds, smoothed

LEAVES_MAX = 64
CELLS_MAX = 16
LATITUDE = re.compile(r"^(.*?)(lat|latitude)(.*)$", re.IGNORECASE)
LONGITUDE = {"lat": ("lon", "lng", "long"), "latitude": ("longitude",)}


class Places(NamedTuple):
    """Boxes [leaves, cells, 4] and every row's leaf and cell."""

    boxes: Floats
    leaf: Codes
    cell: Codes


def pairs(columns: Sequence[tuple[str, ColumnType]]) -> list[tuple[str, str]]:
    """Columns that name a latitude and a longitude of one place, by their names and types."""
    numeric = {name.lower(): name for name, kind in columns if kind.family in ("number", "float")}
    found = []
    for lower, name in numeric.items():
        match = LATITUDE.match(lower)
        if match is None:
            continue
        before, word, after = match.groups()
        for other in LONGITUDE[word]:
            if f"{before}{other}{after}" in numeric:
                found.append((name, numeric[f"{before}{other}{after}"]))
                break
    return found


def on_earth(latitude: Floats, longitude: Floats) -> bool:
    """Whether the numbers can be degrees at all."""
    return bool((np.abs(latitude) <= 90).all() and (np.abs(longitude) <= 180).all())


def learn_places(latitude: Floats, longitude: Floats, entities: Entities) -> Places:
    """Learn the places of at least 4 k distinct entities."""
    points = np.stack([latitude, longitude], axis=1)
    for axis in range(2):
        order = np.argsort(points[:, axis], kind="stable")
        points[:, axis] = np.clip(points[:, axis], *bounds(points[order, axis], entities.take(order)))
    outer = np.array([[points[:, 0].min(), points[:, 0].max()], [points[:, 1].min(), points[:, 1].max()]])
    leaves = _split([(np.arange(len(points)), outer)], points, entities, LEAVES_MAX, 2 * entities.k * 4)
    split = [_split([leaf], points, entities, CELLS_MAX, 2 * entities.k) for leaf in leaves]
    cells = min(len(found) for found in split)
    split = [_split([leaf], points, entities, cells, 2 * entities.k) for leaf in leaves]
    boxes = np.empty((len(leaves), cells, 4))
    of_leaf, of_cell = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    for leaf, found in enumerate(split):
        for cell, (rows, box) in enumerate(found):
            boxes[leaf, cell] = _fitted(points[rows], box, entities.take(rows)).ravel()
            of_leaf[rows], of_cell[rows] = leaf, cell
    return Places(boxes, of_leaf, of_cell)


_Part = tuple[npt.NDArray[np.intp], Floats]


def _split(parts: list[_Part], points: Floats, entities: Entities, most: int, least: int) -> list[_Part]:
    """Halve all parts again and again, up to ``most``, while each half keeps ``least`` distinct entities."""
    while 2 * len(parts) <= most:
        halves: list[_Part] = []
        for rows, box in parts:
            cut = _halved(rows, box, points, entities, least)
            if cut is None:
                return parts
            halves.extend(cut)
        parts = halves
    return parts


def _halved(
    rows: npt.NDArray[np.intp], box: Floats, points: Floats, entities: Entities, least: int
) -> tuple[_Part, _Part] | None:
    axis = int(np.argmax(points[rows].std(axis=0) * (1.0, np.cos(np.radians(points[rows, 0].mean())))))
    order = rows[np.argsort(points[rows, axis], kind="stable")]
    middle = len(order) // 2
    low, high = order[:middle], order[middle:]
    if min(int((entities.take(half).counts(np.zeros(len(half), np.int32), 1))[0]) for half in (low, high)) < least:
        return None
    edge = smoothed(points[order, axis], entities.take(order), np.array([middle]))[0]
    below, above = box.copy(), box.copy()
    below[axis, 1] = above[axis, 0] = edge
    return (low, below), (high, above)


def _fitted(points: Floats, box: Floats, entities: Entities) -> Floats:
    """The box, drawn in to where its places are: from protected means, extended as an even spread would be."""
    fitted = box.copy()
    rows = len(points)
    share = min(0.4, (entities.k + 1) / (2 * (rows + 1)))
    for axis in range(2):
        order = np.argsort(points[:, axis], kind="stable")
        ends = smoothed(points[order, axis], entities.take(order), np.array([0, rows - 1]))
        more = (ends[1] - ends[0]) * share / (1 - 2 * share)
        fitted[axis] = np.clip([ends[0] - more, ends[1] + more], box[axis, 0], box[axis, 1])
    return fitted
