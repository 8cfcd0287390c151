"""What a plan makes of its columns, counted."""

from __future__ import annotations

from support import catalogues as c
from tailrace_shared.plan.protection import protection_of

JOB = """
tables:
  public.customer:
    columns:
      id: key
      email: mock.email
      name: mask.text
      city: duplicate
      phone: duplicate
      note: "null"
      kind: {generator: constant, value: x}
"""


def test_columns_are_counted_by_what_becomes_of_them_and_personal_ones_that_stay_are_found() -> None:
    table = c.table(
        "customer", "id int4", "email text", "name text", "city text", "phone text", "note text", "kind text"
    )
    counts = protection_of(c.planned(JOB, c.catalogue(table)))
    assert counts.columns == {"key": 1, "mocked": 1, "masked": 1, "duplicated": 2, "null": 1, "constant": 1}
    assert counts.unprotected >= 1, "phone says what it is"
