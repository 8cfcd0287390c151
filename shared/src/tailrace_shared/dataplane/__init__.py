"""The data plane: record batches from topic to topic, bounded in bytes, committed only when they are done.

``window``, ``frontier``, ``retry`` and ``credit`` decide and do no I/O; ``pump`` and ``sender`` are the thin shell around
them; ``ipc`` is the form of a batch.
"""
