"""What pages for people on call say to look at and to type exists: links, metrics, settings, error codes, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dashboards.metrics_page import SERVICES, exposed_names, instruments, quality_instruments

from support.monitoring import REPOSITORY, metrics_in
from tailrace_generator.settings import Settings as Generator
from tailrace_reader.settings import Settings as Reader
from tailrace_shared.kafka import KafkaSettings
from tailrace_writer.settings import Settings as Writer

PAGES = sorted(
    [
        *(REPOSITORY / "docs/runbooks").glob("*.md"),
        *(REPOSITORY / "docs").glob("r*nning.md"),
        REPOSITORY / "docs/metrics.md",
    ]
)
COMMANDS = {path.stem for path in (REPOSITORY / "cli/src/tailrace/commands").glob("*.py")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_what_exists(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{target} does not exist"
    known = exposed_names([*(i for service in SERVICES for i in instruments(service)), *quality_instruments()])
    known |= {i.name for service in SERVICES for i in instruments(service)}
    asked = {name for name in metrics_in(text) if not name.startswith("tailrace:")} - {"tailrace_quality_"}
    assert {name for name in asked if not name.endswith("_")} <= known
    settings = {f"TAILRACE_{name.upper()}" for kind in (Reader, Generator, Writer) for name in kind.model_fields}
    settings |= {"TAILRACE_KAFKA", *(f"TAILRACE_KAFKA_{name.upper()}" for name in KafkaSettings.model_fields)}
    assert set(re.findall(r"TAILRACE_[A-Z_]+[A-Z]", text)) <= settings
    errors = (REPOSITORY / "docs/errors.md").read_text()
    for code in re.findall(r"`((?:kafka|plan|verify|postgres)\.[a-z][a-z-]*)`", text):
        assert f"`{code}`" in errors, f"{code} is no error"
    for command in re.findall(r"`tailrace ([a-z]+)", text):
        assert command in COMMANDS, f"there is no command {command}"
