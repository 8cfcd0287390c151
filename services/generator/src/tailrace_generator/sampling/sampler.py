"""A model's rows by ordinal.

Rows are drawn in blocks of fixed size, each from uniforms of its own, with matrices of one shape: row i is a function of (model,
seed, i) alone, however the ordinals are cut into orders and batches. What remains is the processor's arithmetic, which
``numeric_fingerprint`` tells apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.sampling.decode import Decoder, decoder_of
from tailrace_generator.sampling.noise import Noise
from tailrace_generator.sampling.rules import kept, raised
from tailrace_generator.sampling.seeds import codes_of
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import AboveColumn, Artefact, ColumnEncoding, Header, Network, TokenRef
from tailrace_shared.synthesis.conditions import Bound, Condition, Rule, bound
from tailrace_shared.synthesis.draws import chances, pick
from tailrace_shared.synthesis.network import Codes, Floats
from tailrace_shared.synthesis.sequence import part_of
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_shared.types import ColumnType, arrow_type

BLOCK_ROWS = 2_048
"""Part of what a seed means: another number draws other rows. A block's embeddings stay in the second-level cache."""

TRIES = 50
"""How often a block is drawn again for rows that break a rule."""
LEAST_CHANCE = np.float32(1e-30)


class Sampler:
    """Draws rows of one model with one seed, under conditions and rules. Not safe for threads: it keeps a buffer.

    ``stratified`` makes the marginals of every block nearly exact, at the price that its rows are not independent draws. ``digest``
    names the model that this one is a part of. Raises TerminalError (``sample.condition``) for a condition that cannot be met.
    """

    def __init__(
        self,
        artefact: Artefact,
        seed: int,
        *,
        conditions: Sequence[Condition] = (),
        stratified: bool = True,
        digest: str | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        header = artefact.header
        self._digest, self._seed, self._stratified = digest or artefact.digest, seed, stratified
        self._rules, self._columns, self._above = tuple(rules), header.columns, [*_raised_by(header.columns)]
        self._tensors = artefact.tensors
        self.drawn = self.rejected = 0
        """Rows that were held against the rules, and those of them that broke one."""
        self._network = Network(artefact, BLOCK_ROWS)
        self._context = self._network.context()
        places = {ref: place for place, ref in enumerate(header.order)}
        self._parents = [
            places.get(TokenRef(ref.column, header.token(ref).parent)) if ref.token else None for ref in header.order
        ]
        self._bounds: dict[int, Bound] = {}
        """By the place of a conditioned column's first token."""
        self._decoders: list[tuple[Decoder, list[int | None]]] = []
        for number, column in enumerate(header.columns):
            mine = [places.get(TokenRef(number, token)) for token in range(len(column.tokens()))]
            tensors = {
                name.partition(".")[2]: tensor
                for name, tensor in artefact.tensors.items()
                if name.startswith(f"c{number}.")
            }
            within = _bound(conditions, column, tensors)
            if within is not None and mine[0] is not None:
                self._bounds[mine[0]] = within
            self._decoders.append((decoder_of(column, tensors, within), mine))
        self.schema = schema_of(header)

        if missing := {condition.column for condition in conditions} - set(self.schema.names):
            raise TerminalError(
                "sample.condition", f"the model of {header.table} has no column {', '.join(sorted(missing))}",
                "Inspect the model for its columns.",
            )  # fmt: skip

    def rows(self, first: int, count: int) -> pa.RecordBatch:
        """Rows with ordinals from ``first``, in wire types. Ordinals that start and end at blocks waste nothing."""
        batches = []
        for block in range(first // BLOCK_ROWS, -(-(first + count) // BLOCK_ROWS)):
            start = max(0, first - block * BLOCK_ROWS)
            end = min(BLOCK_ROWS, first + count - block * BLOCK_ROWS)
            batches.append(self.block(block)[1].slice(start, end - start))
        if not batches:
            return pa.RecordBatch.from_pylist([], self.schema)
        return batches[0] if len(batches) == 1 else pa.concat_batches(batches)

    def complete(self, seeds: pa.RecordBatch | pa.Table, first: int = 0) -> pa.RecordBatch:
        """Rows with ordinals from ``first``, one for each of ``seeds``, whose columns they have.

        Exact where the seeds' columns are drawn before all others (``conditions.exact``); otherwise those before do not know of
        them. Raises TerminalError (``sample.seed``), and what ``rows`` raises.
        """
        unknown = set(seeds.schema.names) - set(self.schema.names)
        if unknown:
            raise TerminalError(
                "sample.seed",
                f"the model has no column {', '.join(sorted(unknown))}",
                "Inspect the model for its columns.",
            )
        columns = {name: _whole(seeds[name]) for name in seeds.schema.names}
        fixed: dict[int, Codes] = {}
        for number, column in enumerate(self._columns):
            if set(column.columns) & set(columns):
                found = codes_of(column, part_of(self._tensors, number), columns)
                places = self._decoders[number][1]
                fixed |= {place: codes for place, codes in zip(places, found, strict=True) if place is not None}
        batches = []
        for block in range(first // BLOCK_ROWS, -(-(first + seeds.num_rows) // BLOCK_ROWS)):
            start = max(0, first - block * BLOCK_ROWS)
            end = min(BLOCK_ROWS, first + seeds.num_rows - block * BLOCK_ROWS)
            at = np.clip(np.arange(BLOCK_ROWS) + block * BLOCK_ROWS - first, 0, seeds.num_rows - 1)
            here = {place: codes[at] for place, codes in fixed.items()}
            given = {
                name: array.take(pa.array(at)).cast(self.schema.field(name).type) for name, array in columns.items()
            }
            batches.append(self._checked(block, here, given)[1].slice(start, end - start))
        if not batches:
            return pa.RecordBatch.from_pylist([], self.schema)
        return pa.concat_batches(batches)

    def codes(self, block: int) -> Codes:
        """The codes of a block's rows, [tokens, rows], before any rule."""
        return self._draw(Noise(self._digest, self._seed, block, BLOCK_ROWS, stratified=self._stratified), {})

    def block(self, block: int) -> tuple[Codes, pa.RecordBatch]:
        """The codes of a block's rows, and the rows. Raises TerminalError (``sample.rejected``) where rules leave none."""
        return self._checked(block, {}, {})

    def _checked(
        self, block: int, fixed: Mapping[int, Codes], given: Mapping[str, pa.Array]
    ) -> tuple[Codes, pa.RecordBatch]:
        codes, batch = self._once(block, "", fixed, given)
        if not self._rules:
            return codes, batch
        broken = self._broken(batch)
        for attempt in range(1, TRIES + 1):
            if not broken.any():
                break
            codes_again, again = self._once(block, f"/{attempt}", fixed, given)
            good = np.flatnonzero(~self._broken(again))
            # a good row may stand in for any that breaks a rule, unless each belongs to a seed of its own
            into = np.intersect1d(np.flatnonzero(broken), good) if given else np.flatnonzero(broken)[: len(good)]
            rows, source = np.arange(BLOCK_ROWS), into if given else good[: len(into)]
            rows[into] = BLOCK_ROWS + source
            codes = np.concatenate([codes, codes_again], axis=1)[:, rows]
            batch = pa.concat_batches([batch, again]).take(pa.array(rows))
            broken[into] = False
        if broken.any():
            raise TerminalError(
                "sample.rejected",
                f"{int(broken.sum())} of {BLOCK_ROWS} rows still break a rule after {TRIES} tries: "
                f"{100 * self.rejected / self.drawn:.0f} % of all that were drawn do",
                "Build the rule into the model when it is learned, or ask for less.",
            )
        return codes, batch

    def _broken(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        broken = np.zeros(BLOCK_ROWS, np.bool_)
        for rule in self._rules:
            broken |= ~kept(rule, batch)
        self.drawn += BLOCK_ROWS
        self.rejected += int(broken.sum())
        return broken

    def _once(
        self, block: int, attempt: str, fixed: Mapping[int, Codes], given: Mapping[str, pa.Array]
    ) -> tuple[Codes, pa.RecordBatch]:
        noise = Noise(self._digest + attempt, self._seed, block, BLOCK_ROWS, stratified=self._stratified)
        codes = self._draw(noise, fixed)
        nothing = np.zeros(BLOCK_ROWS, np.int32)
        arrays: list[pa.Array] = []
        for decoder, places in self._decoders:
            arrays.extend(decoder([nothing if place is None else codes[place] for place in places], noise))
        for name, array in given.items():
            arrays[self.schema.get_field_index(name)] = array
        for at, column, over, over_type in self._above:
            arrays[at] = raised(column, arrays[at], arrays[over], over_type)
        return codes, pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _draw(self, noise: Noise, fixed: Mapping[int, Codes]) -> Codes:
        codes = np.zeros((len(self._network.tokens), BLOCK_ROWS), np.int32)
        live: list[npt.NDArray[np.bool_] | None] = []
        for place, token in enumerate(self._network.tokens):
            weights = chances(self._network.logits(place, self._context), token.barred)
            self._condition(place, weights, codes)
            drawn = pick(weights, noise.uniforms())
            drawn = fixed[place].copy() if place in fixed else drawn
            parent = self._parents[place]
            mine = None if parent is None else codes[parent] >= token.live_from
            if mine is not None and parent is not None and live[parent] is not None:
                mine &= live[parent]
            if mine is not None:
                drawn *= mine
            live.append(mine)
            codes[place] = drawn
            self._network.enter(place, drawn, self._context)
        return codes

    def _condition(self, place: int, weights: Floats, codes: Codes) -> None:
        """Multiply chances with those of a condition on the token's column; codes that are all but impossible stay possible."""
        parent = self._parents[place]
        mine = self._bounds.get(place)
        above = None if parent is None else self._bounds.get(parent)
        if mine is not None:
            weights += LEAST_CHANCE
            weights *= mine.first[:, None]
        elif above is not None and above.second is not None:
            weights += LEAST_CHANCE
            weights *= above.second[codes[parent]].T


def schema_of(header: Header) -> pa.Schema:
    """The columns that a model draws, in wire types."""
    return pa.schema(
        [
            pa.field(name, arrow_type(kind))
            for column in header.columns
            for name, kind in zip(column.columns, column.types, strict=True)
        ]
    )


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _raised_by(columns: Sequence[ColumnEncoding]) -> Iterator[tuple[int, AboveColumn, int, ColumnType]]:
    """Columns that are above others: where both are in the schema, and the other's type."""
    names = [(name, kind) for column in columns for name, kind in zip(column.columns, column.types, strict=True)]
    places = {name: place for place, (name, _) in enumerate(names)}
    for column in columns:
        if isinstance(column, AboveColumn):
            yield places[column.columns[0]], column, places[column.over], names[places[column.over]][1]


def _bound(conditions: Sequence[Condition], column: ColumnEncoding, tensors: Mapping[str, Tensor]) -> Bound | None:
    mine = [condition for condition in conditions if condition.column in column.columns]
    if len(mine) > 1:
        raise TerminalError(
            "sample.condition", f"column {mine[0].column} has several conditions", "Write one condition per column."
        )
    return bound(mine[0], column, tensors) if mine else None
