"""Masking change records: the same kernels as for batches, on new images and old keys alike. Pure but for the kernels."""

from __future__ import annotations

import structlog

from tailrace_generator.kernels import MaskSecret
from tailrace_generator.masking import TableMasker
from tailrace_generator.workshop import Workshop
from tailrace_shared.changes.body import Body
from tailrace_shared.changes.controls import Control, Quarantined
from tailrace_shared.changes.rows import ChangeRows
from tailrace_shared.errors import TailraceError
from tailrace_shared.plan.model import Plan

log = structlog.get_logger()


class ChangeMasker:
    """Masks bodies of one attempt's records.

    A table whose kernel fails is quarantined from that record on: its rows are left out and a control entry says so. They are
    never passed on, and never nulled.
    """

    def __init__(self, plan: Plan, secret: MaskSecret) -> None:
        self._plan = plan
        self._secret = secret
        self._workshop = Workshop(plan, secret)
        self._maskers: dict[int, TableMasker] = {}

    def mask(self, body: Body, tries: int = 1) -> Body:
        """The body with masked values; order and everything else as it came."""
        controls: list[Control] = list(body.controls)
        tables: list[tuple[int, ChangeRows]] = []
        for number, rows in body.tables:
            made = self._tried(number, rows, tries)
            if isinstance(made, TailraceError):
                log.error("changes.quarantined", run=self._plan.run, table=number, code=made.code, message=made.message)
                controls.append(
                    # Of the last row: a table that was loaded anew behind all of them lacks none.
                    Quarantined(
                        seq=int(rows.seq[0]), lsn=int(rows.lsn[-1]), table=number, code=made.code, why=made.message
                    )
                )
            else:
                tables.append((number, made))
        return Body(tuple(sorted(controls, key=lambda entry: entry.seq)), tuple(tables))

    def _tried(self, number: int, rows: ChangeRows, tries: int) -> ChangeRows | TailraceError:
        for left in reversed(range(tries)):
            try:
                return self._rows(number, rows)
            except TailraceError as error:
                if left == 0:
                    return error
        raise AssertionError("unreachable")

    def _rows(self, number: int, rows: ChangeRows) -> ChangeRows:
        masker = self._masker(number)
        if masker.passes:
            return rows
        columns = [masker.column(position, array) for position, array in enumerate(rows.columns)]
        old = {position: masker.column(position, array) for position, array in rows.old.items()}
        return rows.with_values(old, columns)

    def _masker(self, number: int) -> TableMasker:
        if number not in self._maskers:
            self._maskers[number] = TableMasker(self._plan.table(number), self._secret, self._workshop)
        return self._maskers[number]
