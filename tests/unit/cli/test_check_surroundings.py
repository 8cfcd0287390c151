"""The preflight against clusters and environments of every kind, without any."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace import check_brokers as brokers_module
from tailrace.check_findings import Finding, Findings
from tailrace.check_secrets import check_secrets
from tailrace_shared import topics
from tailrace_shared.errors import ExitCode, TerminalError
from tailrace_shared.job.spec import Destination, Job, Source, Verification
from tailrace_shared.kafka.admin import durability

JOB = Job(name="shop", source=Source(url="${SRC}"), destination=Destination(url="${DST}"), secret="${MASK}")
SET = {"SRC": "value-of-src", "DST": "value-of-dst", "MASK": "value-of-mask-with-length"}


def by_name(found: Findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in found.all}


def test_secrets_are_told_by_name_and_never_by_value() -> None:
    found = check_secrets(JOB, SET, brokers=False)
    assert {f.name: f.status for f in found.all} == {
        "SRC": "ok", "DST": "ok", "MASK": "ok", "TAILRACE_TRANSPORT_KEY": "ok",
    }  # fmt: skip
    assert "value-of" not in str(found.all)


def test_canaries_are_told_by_the_names_of_their_variables() -> None:
    job = JOB.model_copy(update={"verify": Verification(canaries=("${BIRDS}", "${MORE}"))})
    environ = SET | {"BIRDS": "value-of-one\nvalue-of-another"}
    here = by_name(check_secrets(job, environ, brokers=False))
    assert (here["BIRDS"].status, here["BIRDS"].detail) == ("ok", "holds canaries: 2")
    assert (here["MORE"].status, here["MORE"].code) == ("failed", "secret.missing")
    elsewhere = by_name(check_secrets(job, environ | {"BIRDS": " "}, brokers=True))
    assert (elsewhere["BIRDS"].status, elsewhere["BIRDS"].code) == ("failed", "verify.no-canaries")
    assert elsewhere["MORE"].status == "unknown"
    assert "value-of" not in str(here)


def test_secrets_of_services_may_be_elsewhere_where_brokers_are_named() -> None:
    found = by_name(check_secrets(JOB, {"SRC": "s", "DST": "d"}, brokers=True))
    assert found["MASK"].status == found["TAILRACE_TRANSPORT_KEY"].status == "unknown"
    alone = by_name(check_secrets(JOB, {"SRC": "s", "DST": "d"}, brokers=False))
    assert (alone["MASK"].status, alone["MASK"].exit_code) == ("failed", ExitCode.USAGE)


@pytest.mark.parametrize(
    ("name", "code"), [("MASK", "secret.too-short"), ("TAILRACE_TRANSPORT_KEY", "transport-key.short")]
)
def test_a_secret_that_can_be_guessed_is_refused_without_being_shown(name: str, code: str) -> None:
    found = by_name(check_secrets(JOB, SET | {name: "brief"}, brokers=True))
    assert (found[name].status, found[name].code) == ("failed", code)
    assert "brief" not in str(found)


class Cluster:
    """What an inspection would say of some cluster."""

    def __init__(
        self,
        *,
        count: int = 3,
        settings: Mapping[str, str] | None = None,
        there: Mapping[str, Mapping[str, str]] | None = None,
        missing: tuple[str, ...] = (),
        refuses: TerminalError | None = None,
        members: Mapping[str, int] | None = None,
    ) -> None:
        self.count, self.missing, self.refuses = count, list(missing), refuses
        self.settings = settings
        self.there = dict(there or {})
        self.members = dict(members or {})
        self.validated: dict[str, Any] = {}

    async def brokers(self) -> list[int]:
        return list(range(self.count))

    async def missing_requests(self) -> list[str]:
        return self.missing

    async def broker_settings(self, broker: int) -> dict[str, str]:
        if self.settings is None:
            raise TerminalError("kafka.forbidden", "may not see them")
        return dict(self.settings)

    async def topics(self) -> set[str]:
        return set(self.there)

    async def topic_settings(self, topic: str) -> dict[str, str]:
        return dict(self.there[topic])

    async def validate_topics(self, wanted: Mapping[str, Any]) -> None:
        self.validated = dict(wanted)
        if self.refuses:
            raise self.refuses

    async def group_members(self, group: str) -> int:
        return self.members.get(group, 0)


async def look(cluster: Cluster) -> tuple[dict[str, Finding], dict[str, Finding]]:
    brokers, services = Findings("brokers"), Findings("services")
    kafka: Any = SimpleNamespace(settings=SimpleNamespace(brokers="kafka:9092", security="PLAINTEXT"))
    await brokers_module._check(JOB, kafka, cluster, "ns", brokers, services)  # type: ignore[arg-type]
    return by_name(brokers), by_name(services)


GOOD = {"auto.create.topics.enable": "false", "socket.request.max.bytes": str(100 << 20)}


async def test_a_cluster_as_a_run_wants_it_has_nothing_but_ticks() -> None:
    cluster = Cluster(settings=GOOD, members={"ns.reader.tasks": 2, "ns.writer.facts": 1})
    brokers, services = await look(cluster)
    assert {finding.status for finding in brokers.values()} == {"ok"}
    assert {name: finding.status for name, finding in services.items()} == {
        "reader": "ok", "writer": "ok", "trainer": "ok", "generator": "unknown",
    }  # fmt: skip
    made = {name.split(".")[1] for name in cluster.validated}
    assert made == {*topics.RUN_TOPICS, "jobs", "facts", "tasks"}


async def test_topics_that_brokers_would_make_by_themselves_are_warned_of() -> None:
    brokers, _ = await look(Cluster(settings=GOOD | {"auto.create.topics.enable": "true"}))
    assert brokers["auto.create.topics.enable"].status == "warning"


async def test_messages_that_are_larger_than_a_request_are_refused_by_the_settings_name() -> None:
    brokers, _ = await look(Cluster(settings=GOOD | {"socket.request.max.bytes": str(1 << 20)}))
    found = brokers["socket.request.max.bytes"]
    assert (found.status, found.code, found.exit_code) == ("failed", "kafka.message-too-large", ExitCode.REFUSED)
    assert "limits.message_bytes" in found.remedy


async def test_settings_that_may_not_be_read_are_not_known_and_nothing_worse() -> None:
    brokers, _ = await look(Cluster(settings=None))
    assert brokers["settings"].status == "unknown"


async def test_topics_that_cannot_be_made_fail_with_the_brokers_reason() -> None:
    refusal = TerminalError("kafka.refused", "no", exit_code=ExitCode.UNAVAILABLE)
    brokers, _ = await look(Cluster(settings=GOOD, refuses=refusal))
    assert (brokers["topics"].status, brokers["topics"].exit_code) == ("failed", ExitCode.UNAVAILABLE)


async def test_an_operator_who_may_not_make_topics_does_not_know_whether_the_writer_may() -> None:
    brokers, _ = await look(Cluster(settings=GOOD, refuses=TerminalError("kafka.forbidden", "no")))
    assert (brokers["topics"].status, brokers["topics"].exit_code) == ("unknown", ExitCode.OK)


async def test_brokers_that_are_too_old_are_told_what_they_lack() -> None:
    brokers, _ = await look(Cluster(settings=GOOD, missing=("DeleteRecords",)))
    assert (brokers["requests"].code, "DeleteRecords" in brokers["requests"].detail) == ("kafka.too-old", True)


@pytest.mark.parametrize(("count", "status"), [(1, "warning"), (2, "warning"), (3, "ok"), (9, "ok")])
async def test_fewer_than_three_brokers_are_warned_of(count: int, status: str) -> None:
    brokers, _ = await look(Cluster(count=count, settings=GOOD))
    assert brokers["replication"].status == status
    assert durability(count)[0] == min(count, 3)


async def test_a_control_topic_that_loses_messages_is_warned_of_with_the_settings_that_it_needs() -> None:
    brokers, _ = await look(
        Cluster(settings=GOOD, there={"ns.facts": {"cleanup.policy": "delete", "retention.ms": "604800000"}})
    )
    assert brokers["ns.facts"].status == "warning"
    assert "retention.ms=-1" in brokers["ns.facts"].remedy
    assert "ns.jobs, ns.tasks" in brokers["control topics"].detail


async def test_without_brokers_it_says_so_and_goes_on() -> None:
    brokers, services = await brokers_module.check_brokers(JOB, {})
    assert [f.status for f in (*brokers.all, *services.all)] == ["unknown", "unknown"]
    assert "--embedded" in brokers.all[0].detail
