"""Tailrace trainer: learns a model from a table's training batches. The only service that may hold torch."""
