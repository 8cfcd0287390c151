"""Models whose network has not been trained, of real encodings: what drawing and proofs need, without torch."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import numpy as np

from support.databases import Pair
from tailrace_shared.synthesis import Artefact, Header, Privacy, SequenceArtefact, SequenceHeader, Training
from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.calibrate import calibrate
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.sequence import CodedSequence
from tailrace_trainer.learning.sizes import shape_of
from tailrace_trainer.learning.table import CodedTable
from tailrace_writer.state.schema import ensure_schema

FAMILIES = {
    "int2": "integer", "int4": "integer", "int8": "integer", "numeric": "number", "float4": "float", "float8": "float",
    "text": "text", "varchar": "text", "uuid": "uuid", "date": "date", "timestamp": "timestamp", "timestamptz": "timestamptz",
    "time": "time", "bool": "boolean", "interval": "interval", "_text": "other", "bytea": "bytes", "jsonb": "json", "mood": "enum",
}  # fmt: skip


def make_subject(name: str, base: str, nullable: bool = True, form: Any = None, **options: Any) -> Subject:
    """A column to learn, by type name; ``precision`` and ``scale`` go to the type."""
    return Subject(name, ColumnType(name=base, base=base, family=FAMILIES[base], **options), nullable, form)  # type: ignore[arg-type]


def make_artefact(
    coded: CodedTable, privacy: Privacy, *, calibrated: bool = False, sequence: CodedSequence | None = None
) -> Artefact:
    """A model of random weights, with the marginals of the rows."""
    rng = np.random.default_rng(5)
    codes, given = (sequence.codes, sequence.given) if sequence else (coded.codes, ())
    shape = shape_of(codes, [t.codes for t in coded.tokens], coded.parents, 5_000_000, given)
    header = Header(
        version="0", table="t", columns=coded.columns, order=coded.order, given=given, network=shape, privacy=privacy,
        training=Training(
            rows=len(coded.codes), held_out=0, seed=0, epochs=0, loss=0, held_out_loss=0, digest=coded.digest
        ),
    )  # fmt: skip
    weights: dict[str, Any] = dict(coded.tensors)
    for place, size in enumerate(given):
        weights[f"g{place}.embedding"] = (rng.standard_normal((size, shape.widths[place])) * 0.2).astype(np.float16)
    for place, token in enumerate(coded.tokens):
        context, hidden = sum(shape.widths[seen] for seen in header.context(place)), shape.hidden
        sizes = {
            "embedding": (token.codes, shape.widths[len(given) + place]),
            "in": (context, hidden),
            "mid": (hidden, hidden),
        }
        for name, size in {**sizes, "out": (hidden, token.codes)}.items():
            weights[f"n{place}.{name}"] = (rng.standard_normal(size) * 0.2).astype(np.float16)
        for name, length in {"in_bias": hidden, "mid_bias": hidden, "out_bias": token.codes}.items():
            weights[f"n{place}.{name}"] = np.zeros(length, np.float32)
    artefact = Artefact(header, weights)
    return calibrate(artefact, codes, coded.parents, rng, blocks=3) if calibrated else artefact


def make_pair(coded: CodedSequence, privacy: Privacy, *, key: str = "", foreign_key: str = "") -> SequenceArtefact:
    """As ``make_artefact``, of entities and their events."""
    entity, events = make_artefact(coded.entity, privacy), make_artefact(coded.events, privacy, sequence=coded)
    header = SequenceHeader(
        entity=entity.header, events=events.header, timeline=coded.timeline, length_max=coded.length_max, seen=coded.seen,
        lags=coded.lags, key=key, foreign_key=foreign_key,
    )  # fmt: skip
    return SequenceArtefact(header, entity, events, coded.edges)


def keep_model(pair: Pair, table: str, model: Artefact | SequenceArtefact) -> str:
    """Into the destination's schema, as a run would have left it; its digest."""

    async def keep() -> None:
        connection = await asyncpg.connect(pair.destination_url)
        await ensure_schema(connection)
        await connection.execute(
            "INSERT INTO tailrace.saved_model (digest, table_name, job, run, data) VALUES ($1, $2, 'x', 'x', $3) "
            "ON CONFLICT DO NOTHING",
            model.digest, table, model.data,
        )  # fmt: skip
        await connection.close()

    asyncio.run(keep())
    return model.digest
