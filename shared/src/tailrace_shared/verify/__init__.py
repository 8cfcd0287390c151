"""Verification after a load: the questions as SQL, the rules as pure functions."""
