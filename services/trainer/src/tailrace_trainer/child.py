"""The child process that learns: ``python -m tailrace_trainer.child``.

Reads a request (one line of JSON) and an Arrow stream from its input, writes answers as lines to its output and at last the
model's bytes. It ends as soon as its input closes, that is, with its parent.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa

from tailrace_shared.errors import TailraceError, TerminalError
from tailrace_shared.messages import Failure
from tailrace_shared.types import Frozen
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.request import Failed, LearnColumn, Learned, LearnRequest, Progress

ORPHANED = 3
"""What it exits with when its parent has gone."""
DEFECT = 4
"""What it exits with when something unforeseen happened."""


def main() -> None:
    """Learn once. Everything that libraries print goes to the error stream, which the parent logs."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        request = LearnRequest.model_validate_json(sys.stdin.buffer.readline())
        rows = _table(sys.stdin.buffer)
        events = None if request.events is None else _table(sys.stdin.buffer)
        threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
        model = _learn(request, rows, events, answers)
    except TailraceError as error:
        failure = Failure(code=error.code, message=error.message, remedy=error.remedy)
        _say(answers, Failed(failure=failure))
        return
    except Exception as error:
        # a defect: where it happened and no more, since what is said of it may quote a value; and without waiting for the thread
        frames = "".join(traceback.format_tb(error.__traceback__))
        sys.stderr.write(f"{type(error).__name__} while learning\n{frames}")
        sys.stderr.flush()
        os._exit(DEFECT)
    _say(answers, Learned(bytes=len(model)))
    answers.write(model)
    answers.flush()


def _table(source: BinaryIO) -> pa.Table:
    with pa.ipc.open_stream(source) as stream:
        return stream.read_all()


def _learn(request: LearnRequest, rows: pa.Table, events: pa.Table | None, answers: BinaryIO) -> bytes:
    try:
        from tailrace_trainer.learning.train import Course, train, train_sequence
    except ImportError as error:
        if error.name != "torch":
            raise
        raise TerminalError(
            "trainer.no-torch", "this trainer has no torch, without which nothing can be learned",
            "Install it beside the trainer: pip install torch, or make torch.",
        ) from None  # fmt: skip
    from tailrace_trainer.learning.rules import Rules
    from tailrace_trainer.learning.sequence import Ties

    course = Course(
        seed=request.seed,
        privacy=request.privacy,
        first=request.first,
        rules=Rules(request.together, request.ordered),
        epochs_max=request.epochs_max,
        bytes_max=request.bytes_max,
        report=lambda epoch: _say(
            answers, Progress(epoch=epoch.epoch, loss=epoch.loss, remaining_s=round(epoch.remaining_s, 1))
        ),
    )
    if events is not None and request.events is not None:
        asked = request.events
        ties = Ties(asked.key, asked.foreign_key, asked.order, asked.length_max)
        tables, sides = (request.table, asked.table), (_subjects(request.columns), _subjects(asked.columns))
        made = train_sequence(rows, events, sides, ties, course, tables=tables, epochs_max=asked.epochs_max)
        return made.save(request.bytes_max)
    entity = rows.column(request.entity).combine_chunks() if request.entity else None
    model = train(rows, _subjects(request.columns), course, table=request.table, entity=entity)
    return model.save(request.bytes_max)


def _subjects(columns: Sequence[LearnColumn]) -> list[Subject]:
    return [Subject(column.name, column.type, column.nullable, column.form) for column in columns]


def _say(answers: BinaryIO, answer: Frozen) -> None:
    answers.write(answer.model_dump_json().encode() + b"\n")
    answers.flush()


def _end_with_parent(source: BinaryIO) -> None:
    source.read(1)
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
