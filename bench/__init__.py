"""Figures: each module prints what the README and the docs claim, beside the peer or the physical limit in the same run."""
