"""The life of a continuous run: its services become those of the next release, and its passwords change, while it is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import Pair
from support.following import caught_up, let_follow, streaming
from support.installation import Installation, eventually
from tailrace_shared.messages import PauseRequested, ResumeRequested, RunRecord, StopRequested
from tailrace_writer.state.migrations import newest

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]

STATE = """
import tailrace_writer.state.migrations as state

step = state.Step(state.newest() + 1, "ALTER TABLE tailrace.run ADD COLUMN colour text NOT NULL DEFAULT 'blue'")
state.STEPS = (*state.STEPS, step)
state.newest.__defaults__ = state.migrate.__defaults__ = (state.STEPS,)
"""
"""A release that keeps the plan's format and changes the schema ``tailrace``."""
PLAN = """
import tailrace_shared.plan.model as model

model.PLAN_VERSION += 1
model.Plan.model_fields["version"].default = model.PLAN_VERSION
model.Plan.model_rebuild(force=True)
"""
"""A release that plans in another format."""
CONTROL = """
import tailrace_shared.formats as formats

formats.CONTROL_FORMAT += 1
"""
"""A release that says something else on the standing topics."""
MORE = """
INSERT INTO customer (first_name, last_name, email, born, note)
  SELECT 'More ' || i, 'Person ' || i, 'more.' || i || '.{n}@example.com', date '1990-01-01' + i, 'n' FROM generate_series(1, 40) i;
UPDATE customer SET balance = balance + 10, note = 'changed {n}' WHERE customer_id % 3 = {n} % 3;
"""
SERVICES = ("writer", "reader", "generator")


@pytest.fixture
def release(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The environment of a process of the release that these lines make of this one."""

    def made(lines: str) -> dict[str, str]:
        folder = tmp_path / str(abs(hash(lines)))
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(lines)
        return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}

    return made


def followed(install: Callable[..., Installation], pair: Pair, job: str, **options: object) -> tuple[Installation, str]:
    """A run that follows its source."""
    let_follow(pair)
    installation = install(pair, **options)
    run = installation.submit(job.replace("version: 1\n", "version: 1\nmode: continuous\n"))
    streaming(installation, run)
    return installation, run


def replaced(installation: Installation, service: str, **environment: str) -> str:
    """A new replica comes, then the former one goes, as a deployment rolls. The former one's name."""
    former, *others = installation.group.replicas(service)
    installation.scale(service, len(others) + 2, **environment)
    former.terminate()
    return former.name


def change(pair: Pair, n: int) -> None:
    pair.source.run_sql(MORE.format(n=n), pair.name)


def in_state(installation: Installation, run: str, state: str) -> RunRecord:
    record = installation.wait(run, lambda r: r.state == state or r.terminal, 60)
    assert record.state == state, record.failure
    return record


def log_of(installation: Installation, replica: str) -> str:
    return (installation.folder / f"{replica}.log").read_text(errors="replace")


def ends_equal(installation: Installation, pair: Pair, run: str, job: str) -> None:
    """What is there equals a fresh masked copy of the source."""
    caught_up(pair)
    held = pair.digest()
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=90)
    assert record.state == "done", record.failure or record.checks
    assert pair.digest() == held
    record = installation.run(job.replace('url: "${DESTINATION_URL}"}', 'url: "${DESTINATION_URL}", mode: truncate}'))
    assert record.state == "done", record.failure or record.problems
    assert pair.digest() == held


def test_a_paused_run_goes_on_with_the_next_release_whose_state_has_a_new_version(
    install: Callable[..., Installation],
    new_shop: Callable[..., Pair],
    shop_job: str,
    release: Callable[[str], dict[str, str]],
) -> None:
    pair, following = new_shop("rolled", 200), release(STATE)
    installation, run = followed(install, pair, shop_job)
    change(pair, 1)
    installation.tell(PauseRequested(run=run))
    in_state(installation, run, "paused")
    before = pair.value("destination", "SELECT version FROM tailrace.version")
    change(pair, 2)
    kept = installation.scale("writer", 2)[1]
    for service in SERVICES:
        replaced(installation, service, **following)
    eventually(
        lambda: pair.value("destination", "SELECT version FROM tailrace.version") == newest() + 1, 60, "the new version"
    )
    assert before == newest()
    assert pair.value("destination", f"SELECT colour FROM tailrace.run WHERE run = '{run}'") == "blue"
    kept.terminate()
    stale = installation.scale("writer", 2)[1]  # of this release again: it comes too late
    eventually(lambda: "state.version" in log_of(installation, stale.name), 60, "the former release refuses the schema")
    stale.terminate()
    installation.tell(ResumeRequested(run=run))
    in_state(installation, run, "streaming")
    change(pair, 3)
    ends_equal(installation, pair, run, shop_job)


def test_under_a_release_that_plans_otherwise_a_paused_run_stays_as_it_is_and_goes_on_with_its_own(
    install: Callable[..., Installation],
    new_shop: Callable[..., Pair],
    shop_job: str,
    release: Callable[[str], dict[str, str]],
) -> None:
    pair, following = new_shop("stranger", 200), release(PLAN)
    installation, run = followed(install, pair, shop_job)
    installation.tell(PauseRequested(run=run))
    in_state(installation, run, "paused")
    for service in SERVICES:
        replaced(installation, service, **following)
    held = pair.digest()
    change(pair, 1)
    installation.tell(ResumeRequested(run=run))
    told = installation.wait(run, lambda r: "plan format" in r.waiting_for or r.terminal, 60)
    assert not told.terminal, told.failure
    assert pair.digest() == held, "nothing was applied by a release that does not understand its plan"
    for service in SERVICES:
        replaced(installation, service)
    ends_equal(installation, pair, run, shop_job)


def test_services_that_speak_another_control_format_leave_a_run_alone_and_say_so(
    install: Callable[..., Installation],
    new_shop: Callable[..., Pair],
    shop_job: str,
    release: Callable[[str], dict[str, str]],
) -> None:
    pair = new_shop("spoken", 100)
    installation = install(pair)
    strangers = [
        installation.scale(service, 2, **release(f"{CONTROL}\n# {service}"))[1].name
        for service in ("reader", "generator")
    ]
    record = installation.run(shop_job)
    assert record.state == "done", record.failure or record.problems
    for name in strangers:
        assert "control.format" in log_of(installation, name)
    assert all(stage.replicas <= 1 for stage in record.stages.values()), record.stages


def test_passwords_of_both_databases_change_while_a_run_is_there(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str, tmp_path: Path
) -> None:
    """As docs/security.md says: by file, the source's under a paused run, the destination's while it streams."""
    pair = new_shop("rotated", 200)
    files = {"reader": ("SOURCE_URL", tmp_path / "source"), "writer": ("DESTINATION_URL", tmp_path / "destination")}
    files["reader"][1].write_text(pair.source_url)
    files["writer"][1].write_text(pair.destination_url)
    by_file = {service: {name: "", f"{name}_FILE": str(file)} for service, (name, file) in files.items()}
    let_follow(pair)
    installation = install(pair, start=False)
    for service in SERVICES:
        installation.scale(service, 1, **by_file.get(service, {}))
    run = installation.submit(shop_job.replace("version: 1\n", "version: 1\nmode: continuous\n"))
    streaming(installation, run)

    pair.destination.run_sql(f"ALTER ROLE {pair.name}_loader PASSWORD 'the second'", pair.name)
    change(pair, 1)
    files["writer"][1].write_text(pair.destination_url.replace(pair.password, "the%20second"))
    replaced(installation, "writer", **by_file["writer"])
    change(pair, 2)
    caught_up(pair)

    installation.tell(PauseRequested(run=run))
    in_state(installation, run, "paused")
    pair.source.run_sql(f"ALTER ROLE {pair.name}_reader PASSWORD 'the third'", pair.name)
    files["reader"][1].write_text(pair.source_url.replace(pair.password, "the%20third"))
    replaced(installation, "reader", **by_file["reader"])
    change(pair, 3)
    installation.tell(ResumeRequested(run=run))
    in_state(installation, run, "streaming")
    assert installation.records(run)[-1].attempt == 1, "nothing was loaded again"
    ends_equal(installation, pair, run, shop_job)
    for secret in ("the second", "the third", "the%20second"):
        assert secret not in installation.logs()


def test_half_a_change_of_the_mask_secret_masks_nothing_and_is_said(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("halfway", 100)
    installation, run = followed(install, pair, shop_job)
    held = pair.digest()
    replaced(installation, "generator", TAILRACE_MASK_SECRET="another mask secret, as long as it must be")
    change(pair, 1)
    told = installation.wait(run, lambda r: r.waiting_for.startswith("a generator replica that can") or r.terminal, 60)
    assert "secret" in told.waiting_for
    assert pair.digest() == held, "nothing is masked by another mapping"
    replaced(installation, "generator")
    ends_equal(installation, pair, run, shop_job)
