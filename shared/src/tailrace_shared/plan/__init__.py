"""The plan: the resolved job. Planning is pure code, the same for ``plan`` and ``run``."""
