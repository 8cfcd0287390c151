"""Training in a child process: cancelling kills it, too much memory kills it and is reported as that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

import psutil
import pyarrow as pa

from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.synthesis import Artefact, SequenceArtefact
from tailrace_trainer.request import ANSWER, Failed, Learned, LearnRequest, Progress

LOOK_S = 0.25
"""Between looks at the child's memory."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Sums must not depend on how many processors are idle, and a spinning second thread costs more than it gives."""
LINE_BYTES_MAX = 1 << 20
MEGABYTE = 1 << 20


async def learn(
    request: LearnRequest, rows: pa.Table, *, memory_max: int, on_progress: Callable[[Progress], None]
) -> Artefact:
    """Train in a child of at most ``memory_max`` resident bytes; cancelling the call kills the child.

    Raises what training raises, TerminalError (``trainer.memory``) for a child that grew too large, and TransientError
    (``trainer.child``) for one that ended in another way.
    """
    return Artefact.load(await _learned(request, [rows], memory_max, on_progress))


async def learn_sequence(
    request: LearnRequest,
    rows: pa.Table,
    events: pa.Table,
    *,
    memory_max: int,
    on_progress: Callable[[Progress], None],
) -> SequenceArtefact:
    """As ``learn``, of two tables: ``events`` are the rows of ``request.events``."""
    return SequenceArtefact.load(await _learned(request, [rows, events], memory_max, on_progress))


async def _learned(
    request: LearnRequest, tables: Sequence[pa.Table], memory_max: int, on_progress: Callable[[Progress], None]
) -> bytes:
    inlet, outlet = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace_trainer.child",
        stdin=inlet, stdout=asyncio.subprocess.PIPE, env={**os.environ, **ONE_THREAD}, limit=LINE_BYTES_MAX,
    )  # fmt: skip
    os.close(inlet)
    feed = os.fdopen(outlet, "wb")
    watch = asyncio.create_task(_watch(process.pid, memory_max))
    feeding = asyncio.create_task(asyncio.to_thread(_feed, feed, request, tables))
    try:
        assert process.stdout is not None
        model = await _answers(process.stdout, on_progress)
        if model is not None:
            return model
        code = await process.wait()
        if watch.done() and watch.result():
            raise TerminalError(
                "trainer.memory",
                f"learning {request.table} took more than {memory_max // MEGABYTE} MiB of memory",
                "Sample fewer rows, exclude columns, or raise TAILRACE_TRAINING_MEMORY_MB.",
            )
        raise TransientError(
            "trainer.child", f"the process that learned {request.table} ended with {_ending(code)}",
            "Nobody but the kernel kills it like this, and that where memory is short: give the trainer more, or lower train.rows."
            if code == -signal.SIGKILL
            else "If this repeats, look at the trainer's log.",
        )  # fmt: skip
    finally:
        watch.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        with contextlib.suppress(BrokenPipeError):
            await feeding
        with contextlib.suppress(BrokenPipeError):
            feed.close()


def _feed(feed: BinaryIO, request: LearnRequest, tables: Sequence[pa.Table]) -> None:
    """Write request and tables; the pipe stays open after, since its end means that the parent has gone."""
    feed.write(request.model_dump_json().encode() + b"\n")
    for rows in tables:
        with pa.ipc.new_stream(feed, rows.schema) as stream:
            stream.write_table(rows)
    feed.flush()


async def _answers(source: asyncio.StreamReader, on_progress: Callable[[Progress], None]) -> bytes | None:
    """The model; None where the child's output ends without one. Raises what the child has failed with."""
    while line := await source.readline():
        match ANSWER.validate_json(line):
            case Progress() as progress:
                on_progress(progress)
            case Learned(bytes=size):
                try:
                    return await source.readexactly(size)
                except asyncio.IncompleteReadError:
                    return None
            case Failed(failure=failure):
                raise TerminalError(failure.code, failure.message, failure.remedy)
    return None


async def _watch(pid: int, memory_max: int) -> bool:
    """Kill the child when it is too large; True if so."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.memory_info().rss <= memory_max:  # noqa: ASYNC110  # nobody tells when memory grows
            await asyncio.sleep(LOOK_S)
        process.kill()
        return True
    return False


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
