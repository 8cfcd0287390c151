"""Rows from a model: codes drawn block by block, decoded to Arrow in the columns' wire types. numpy only."""

from tailrace_generator.sampling.fingerprint import numeric_fingerprint
from tailrace_generator.sampling.sampler import BLOCK_ROWS, Sampler, schema_of
from tailrace_generator.sampling.sequences import Events, SequenceSampler
from tailrace_generator.sampling.wire import of_texts

__all__ = ["BLOCK_ROWS", "Events", "Sampler", "SequenceSampler", "numeric_fingerprint", "of_texts", "schema_of"]
