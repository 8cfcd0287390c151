"""Questions of the leak scan: columns of small tables share one, and none grows beyond its bounds."""

from __future__ import annotations

from tailrace_shared.messages import LeakSample
from tailrace_writer.leak_questions import COLUMNS, SCAN_BYTES, Asked, Bundle


def asked(table: int, *values: str) -> Asked:
    return Asked(LeakSample(table=table, column="c", values=values), 0.5)


def gathered(bundle: Bundle, *given: tuple[Asked, int | None]) -> list[list[int]]:
    """The tables of each question, the last one taken at the end."""
    questions = [bundle.add(*pair) for pair in given]
    return [[a.sample.table for a in question] for question in [*questions, bundle.take()] if question]


def test_columns_of_small_tables_go_together() -> None:
    assert gathered(Bundle(1000), (asked(0, "a"), 8192), (asked(0, "b"), 8192), (asked(1, "c"), 8192)) == [[0, 0, 1]]


def test_a_question_holds_no_more_values_than_fit_a_message() -> None:
    """Counted in bytes, not in characters; a value has four more around it."""
    assert gathered(Bundle(100), (asked(0, "x" * 46), 1), (asked(1, "x" * 46), 1), (asked(2, "x"), 1)) == [[0, 1], [2]]
    assert gathered(Bundle(100), (asked(0, "ä" * 46), 1), (asked(1, "ä" * 46), 1)) == [[0], [1]]


def test_a_large_table_or_one_of_unknown_size_is_asked_column_by_column() -> None:
    large, unknown = (asked(1, "a"), SCAN_BYTES + 1), (asked(2, "a"), None)
    assert gathered(Bundle(1000), (asked(0, "a"), 1), large, large, unknown, (asked(3, "a"), 1)) == [
        [0],
        [1],
        [1],
        [2],
        [3],
    ]


def test_a_question_has_a_bounded_number_of_columns() -> None:
    questions = gathered(Bundle(1 << 20), *[(asked(n, "a"), 1) for n in range(2 * COLUMNS + 1)])
    assert [len(question) for question in questions] == [COLUMNS, COLUMNS, 1]
