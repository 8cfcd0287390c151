"""Learning a table: rows to protected codes, codes to a network, a network to a model."""
