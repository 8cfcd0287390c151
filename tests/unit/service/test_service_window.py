"""A process's window is divided over the runs that may be active, whichever of them stands still."""

from __future__ import annotations

import pytest

from tailrace_shared.settings import ServiceSettings


@pytest.mark.parametrize(("runs", "share"), [("1", 32 << 20), ("4", 8 << 20), ("3", (32 << 20) // 3)])
def test_the_shares_of_all_runs_are_the_window(monkeypatch: pytest.MonkeyPatch, runs: str, share: int) -> None:
    monkeypatch.setenv("TAILRACE_MAX_ACTIVE_RUNS", runs)
    settings = ServiceSettings()
    assert settings.run_window_bytes == share
    assert settings.run_window_bytes * settings.max_active_runs <= settings.window_bytes
