"""Every right and every refusal, on a broker with access lists: each party tries to read and to write every topic."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from pydantic import SecretStr
from typer.testing import CliRunner, Result
from ulid import ULID

from support.certificates import Authority
from support.guarded import DOOR, broker_config, listeners, written_passwords
from tailrace.app import create_app
from tailrace.embedded.kafka import EmbeddedKafka
from tailrace_shared import topics
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.rights import PARTIES, Party
from tailrace_shared.service.control import ensure_control_topics

NAMESPACE, OTHER = "guarded", "guarded2"
RUN = str(ULID())

MAY: Mapping[str, str] = {
    #                 reader generator trainer writer operator
    "jobs":           "r     r         r       rw     r",
    "facts":          "w     w         w       rw     w",
    "tasks":          "r     -         r       w      -",
    "plan":           "rw    r         r       rw     -",
    "work":           "r     -         -       w      -",
    "orders":         "-     r         -       w      -",
    "raw":            "w     r         -       -      -",
    "masked":         "-     w         -       r      -",
    "training":       "w     -         r       -      -",
    "models":         "-     rw        w       rw     -",
    "changes":        "rw    r         -       -      -",
    "masked-changes": "-     w         -       r      -",
}  # fmt: skip
"""Written down on its own, not taken from the matrix: a right that is added there has to be added here, and meant."""


class Guarded:
    """The broker, its authority, and clients by party."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.passwords = written_passwords(folder / "passwords")
        self.broker = EmbeddedKafka(None, folder / "kafka", broker_config(self.authority), listeners=listeners())

    def kafka(self, party: Party, password: str | None = None) -> Kafka:
        secret = password or self.passwords[party].read_text().strip()
        return Kafka(
            KafkaSettings(
                brokers=self.broker.address(DOOR), security_protocol="SASL_SSL", sasl_username=f"{NAMESPACE}-{party}",
                sasl_password=SecretStr(secret), ca_file=self.authority.ca, request_timeout_s=5,
            )
        )  # fmt: skip

    def administrator(self) -> Kafka:
        return Kafka(KafkaSettings(brokers=self.broker.bootstrap))

    def command(self, *arguments: str) -> Result:
        """``tailrace kafka-acls …`` as the administrator types it."""
        environment = {"TAILRACE_KAFKA": self.broker.bootstrap, "TAILRACE_NAMESPACE": NAMESPACE}
        return CliRunner().invoke(create_app(), ["kafka-acls", *arguments], env={**os.environ, **environment})


def all_topics(namespace: str) -> dict[str, str]:
    control = {kind: f"{namespace}.{kind}" for kind in ("jobs", "facts", "tasks")}
    return control | {kind: topics.of_run(namespace, RUN, kind) for kind in topics.topics_of(continuous=True)}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("guarded"))
    made.broker.start()
    try:
        done = made.command("--apply", "--passwords", str(made.passwords["reader"].parent))
        assert done.exit_code == 0, done.output
        asyncio.run(_prepared(made))
        yield made
    finally:
        made.broker.stop()


async def _prepared(made: Guarded) -> None:
    """A namespace with a run of each, and a message on every topic."""
    names = [*all_topics(NAMESPACE).values(), *all_topics(OTHER).values()]
    async with made.administrator().admin() as admin:
        await admin.create_topics({name: (1, {}) for name in names})
    async with _producing(made.administrator()) as producer:
        for name in names:
            await producer.send_and_wait(name, b"said")


@asynccontextmanager
async def _producing(kafka: Kafka) -> AsyncIterator[object]:
    producer = kafka.producer(1 << 20)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _allowed(what: Callable[[], Awaitable[object]]) -> bool:
    """Whether Kafka lets it happen. Any other error than a refusal fails the test."""
    try:
        await what()
    except (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError):
        return False
    except TailraceError as error:
        if error.code != "kafka.forbidden":
            raise
        return False
    return True


async def _reads(kafka: Kafka, topic: str) -> None:
    consumer = kafka.consumer(group=None)
    consumer.assign([TopicPartition(topic, 0)])
    try:
        await consumer.start()
        async with asyncio.timeout(10):
            assert (await consumer.getone()).value is not None
    finally:
        await consumer.stop()


@pytest.mark.parametrize("party", PARTIES)
async def test_a_party_reads_and_writes_what_it_may_and_nothing_else(guarded: Guarded, party: Party) -> None:
    kafka, found = guarded.kafka(party), {}
    async with _producing(kafka) as producer:
        for kind, name in all_topics(NAMESPACE).items():
            reads = await _allowed(lambda name=name: _reads(kafka, name))
            writes = await _allowed(lambda name=name: producer.send_and_wait(name, b"tried"))  # type: ignore[attr-defined]
            found[kind] = ("r" if reads else "") + ("w" if writes else "") or "-"
    column = PARTIES.index(party)
    assert found == {kind: cells.split()[column] for kind, cells in MAY.items()}


@pytest.mark.parametrize("party", PARTIES)
async def test_nobody_reaches_another_namespace_even_one_whose_name_begins_alike(
    guarded: Guarded, party: Party
) -> None:
    kafka = guarded.kafka(party)
    async with kafka.admin() as admin:
        assert not [name for name in await admin.topics() if name.startswith(f"{OTHER}.")]
    async with _producing(kafka) as producer:
        for name in (f"{OTHER}.jobs", topics.of_run(OTHER, RUN, "masked"), topics.of_run(OTHER, RUN, "raw")):
            assert not await _allowed(lambda name=name: _reads(kafka, name))
            assert not await _allowed(lambda name=name: producer.send_and_wait(name, b"tried"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("party", PARTIES)
async def test_only_the_deciding_service_makes_empties_and_deletes_topics_of_runs(
    guarded: Guarded, party: Party
) -> None:
    another, lane = (
        str(ULID()),
        topics.of_run(NAMESPACE, RUN, "training" if party == "trainer" else "raw"),
    )  # one that it sees
    wanted = {topics.of_run(NAMESPACE, another, kind): (1, {}) for kind in topics.topics_of(continuous=True)}
    doomed = topics.of_run(NAMESPACE, str(ULID()), "work")
    async with guarded.administrator().admin() as admin:
        await admin.create_topics({doomed: (1, {})})
        before = (await admin.begin_offsets([lane]))[lane, 0]
    async with guarded.kafka(party).admin() as admin:
        assert await _allowed(lambda: admin.create_topics(wanted)) == (party == "writer")
        assert await _allowed(lambda: admin.delete_topics([doomed])) == (party == "writer")
        assert await _allowed(lambda: admin.delete_records({(lane, 0): 1})) == (party == "writer")
        assert await _allowed(lambda: ensure_control_topics(admin, NAMESPACE)), "made by whoever comes first"
        assert not await _allowed(lambda: admin.create_topics({f"{NAMESPACE}.other": (1, {})}))
        assert not await _allowed(lambda: admin.create_topics({"anything": (1, {})}))
        assert not await _allowed(lambda: admin.delete_topics([f"{NAMESPACE}.jobs"]))
    async with guarded.administrator().admin() as admin:
        assert ((await admin.begin_offsets([lane]))[lane, 0] > before) == (party == "writer")


@pytest.mark.parametrize("party", [party for party in PARTIES if party != "operator"])
async def test_a_service_joins_its_own_groups_and_no_other(guarded: Guarded, party: Party) -> None:
    kafka = guarded.kafka(party)
    readable = next(
        name for kind, name in all_topics(NAMESPACE).items() if "r" in MAY[kind].split()[PARTIES.index(party)]
    )
    for owner in (*PARTIES[:4], "operator"):
        group = topics.group(NAMESPACE, owner, readable)
        assert await _allowed(lambda group=group: _joins(kafka, readable, group)) == (owner == party), owner


async def _joins(kafka: Kafka, topic: str, group: str) -> None:
    consumer = kafka.consumer(topic, group=group)
    try:
        async with asyncio.timeout(10):
            await consumer.start()
            await consumer.getone()
            await consumer.commit()
    finally:
        await consumer.stop()


async def test_nobody_but_the_administrator_changes_rights_and_passwords(guarded: Guarded) -> None:
    for party in PARTIES:
        async with guarded.kafka(party).access() as access:
            assert not await _allowed(lambda a=access: a.grant("User:me", [], NAMESPACE))
            assert not await _allowed(lambda a=access: a.set_password("me", "a password of some length"))


def test_repeated_nothing_changes_and_what_was_granted_by_hand_is_taken_back(guarded: Guarded) -> None:
    again = guarded.command("--apply", "--json")
    assert '"made": 0' in again.output
    assert '"made": 1' not in again.output
    asyncio.run(_grant_too_much(guarded))
    assert asyncio.run(_reader_reads_masked(guarded))
    healed = guarded.command("--apply")
    assert f"User:{NAMESPACE}-reader: 0 rights made, 1 taken back" in healed.output
    assert not asyncio.run(_reader_reads_masked(guarded))


async def _grant_too_much(guarded: Guarded) -> None:
    from tailrace_shared.rights import Right, rights_of

    wide = Right("topic", f"{NAMESPACE}.masked.", True, "Read")
    async with guarded.administrator().access() as access:
        await access.grant(f"User:{NAMESPACE}-reader", [*rights_of("reader", NAMESPACE), wide], NAMESPACE)


async def _reader_reads_masked(guarded: Guarded) -> bool:
    return await _allowed(lambda: _reads(guarded.kafka("reader"), all_topics(NAMESPACE)["masked"]))


async def test_a_rotated_password_opens_and_the_former_one_does_not(guarded: Guarded, tmp_path: Path) -> None:
    former = guarded.passwords["trainer"].read_text().strip()
    guarded.passwords["trainer"].write_text("another password, longer than before\n")
    (tmp_path / "trainer").write_text(guarded.passwords["trainer"].read_text())
    done = await asyncio.to_thread(guarded.command, "--apply", "--passwords", str(tmp_path))
    assert "trainer: 0 rights made, 0 taken back, password set" in done.output
    assert "reader: 0 rights made, 0 taken back\n" in done.output
    async with guarded.kafka("trainer").admin() as admin:
        await admin.topics()
    with pytest.raises((TransientError, KafkaError)):
        await guarded.kafka("trainer", former).admin().start()
