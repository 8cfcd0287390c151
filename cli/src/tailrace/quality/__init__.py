"""How near the rows of a destination are to those of their source, and what they give away: measures, gates, a report.

The measures are pure functions over columns (``columns``); ``judge`` applies them to a table, ``read`` brings samples from two
databases, ``page`` and ``metrics_file`` write down what came of it. Nothing of a single row is in a report: see ``disclosure``.
"""
