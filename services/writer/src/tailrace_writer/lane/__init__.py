"""Applying a lane: a totally ordered stream of masked changes, whole source transactions at a time."""
