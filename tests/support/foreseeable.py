"""A world in which one thing is wrong: two databases of small schemas, minimal roles, and the command run in this process.

Every case has a schema of its own on both sides, so that cases do not see each other.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socketserver
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from typer.testing import CliRunner

from tailrace.app import create_app
from tailrace.embedded.ports import LOOPBACK, free_ports
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.messages import RunRecord
from tailrace_shared.service.control import control_session

CANARY = "canary-of-the-source"
"""In every text column of the source: no message may repeat it."""
READER, LOADER = "wrong_reader", "wrong_loader"
SOURCE, DESTINATION = "wrong_source", "wrong_destination"

BASE = """
CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL, email varchar(60) UNIQUE, note text, born date);
CREATE TABLE visit (id int PRIMARY KEY, person int NOT NULL REFERENCES person, at timestamptz);
"""
ROWS = f"""
INSERT INTO person VALUES (1, '{CANARY}', '{CANARY}@example.org', '{CANARY}', '1990-01-01');
INSERT INTO visit VALUES (1, 1, '2024-01-01');
"""
JOB = """version: 1
name: wrong
source: {url: "${WRONG_SOURCE}"}
destination: {url: "${WRONG_DESTINATION}", mode: MODE, constraints: CONSTRAINTS}
secret: "${WRONG_SECRET}"
policy: POLICY
schemas: [SCHEMAS]
tables:TABLES
"""
_FINDING = re.compile(r"^(?:(?P<error>error: |✗ )|(?P<warning>warning: |! ))(?P<text>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One thing that is wrong, and what the command has to say about it.

    In ``job``, ``tables`` and all SQL, ``@`` stands for the case's schema.
    """

    name: str
    code: str
    says: tuple[str, ...]
    """What the line must hold: the thing's name."""
    exit: int = 3
    command: str = "plan JOB"
    tables: str = " {}"
    policy: str = "mask"
    constraints: str = "bypass"
    mode: str = "existing"
    schemas: str = "@"
    job: str | None = None
    """The whole job file instead."""
    both: str = ""
    """SQL on both sides, by whoever owns the tables there."""
    ours: str = ""
    """SQL in the source, by the superuser."""
    theirs: str = ""
    """SQL in the destination, by the role that loads."""
    admin: str = ""
    """SQL in the destination, by the superuser."""
    undo: str = ""
    """SQL in the destination, by the superuser, after the case: for what is not inside its schema."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that differ; PORT, BROKER and the like are filled in by ``World``."""
    unset: tuple[str, ...] = ()
    severity: str = "error"
    aware: tuple[str, ...] = ()
    """Codes of warnings that may stand beside the error."""


@dataclass(frozen=True)
class Said:
    """What came out of a command."""

    exit: int
    text: str
    errors: list[str]
    warnings: list[str]
    remedies: dict[str, str]


class HangsUp(socketserver.BaseRequestHandler):
    """A server of another kind: it does not understand, and closes."""

    def handle(self) -> None:
        self.request.recv(1024)


class World:
    """The two databases, and the environment in which all is well."""

    def __init__(self, server: EmbeddedPostgres, broker: dict[str, str], directory: Path) -> None:
        self.server = server
        self.broker = broker
        self.directory = directory
        self.password = f"secret-{secrets.token_hex(8)}"
        self.namespace = f"w{secrets.token_hex(4)}"
        (self.closed_port,) = free_ports(1)
        self.other = socketserver.ThreadingTCPServer((LOOPBACK, 0), HangsUp)
        self.other.daemon_threads = True
        threading.Thread(target=self.other.serve_forever, daemon=True).start()
        for name in (SOURCE, DESTINATION):
            server.create_database(name)
        server.run_sql(
            f"CREATE ROLE {READER} LOGIN PASSWORD '{self.password}'; CREATE ROLE {LOADER} LOGIN PASSWORD '{self.password}';"
            f"CREATE ROLE wrong_nologin PASSWORD '{self.password}';"
            f"CREATE ROLE wrong_busy LOGIN CONNECTION LIMIT 0 PASSWORD '{self.password}';"
            f"GRANT CREATE ON DATABASE {DESTINATION} TO {LOADER};"
            f"REVOKE CONNECT ON DATABASE {SOURCE} FROM PUBLIC; GRANT CONNECT ON DATABASE {SOURCE} TO {READER}"
        )

    @property
    def environment(self) -> dict[str, str | None]:
        """Where everything is right; no brokers are named."""
        return {
            "WRONG_SOURCE": self.server.url(SOURCE, READER, self.password),
            "WRONG_DESTINATION": self.server.url(DESTINATION, LOADER, self.password),
            "WRONG_SECRET": f"{self.password}-mask",
            "TAILRACE_NAMESPACE": self.namespace,
            "TAILRACE_KAFKA": None,
            "TAILRACE_KAFKA_BROKERS": None,
            "TAILRACE_TRANSPORT_KEY": None,
            "TAILRACE_DEBUG": None,
        }

    def publish(self, *records: RunRecord) -> None:
        """Make runs known on the broker, as a leader would."""

        async def send() -> None:
            async with control_session(
                Kafka(KafkaSettings(brokers=self.broker["TAILRACE_KAFKA"])), self.namespace
            ) as control:
                for record in records:
                    await control.record(record)

        asyncio.run(send())

    def prepare(self, case: Case, schema: str) -> Path:
        """Make the case's schemas, and its job file."""
        begin = f"CREATE SCHEMA {schema}; SET search_path = {schema};"
        ours = (
            f"{begin}{BASE}{case.both}{ROWS}GRANT USAGE ON SCHEMA {schema} TO {READER};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER};{case.ours}"
        )
        theirs = (
            f"CREATE SCHEMA {schema}; GRANT USAGE, CREATE ON SCHEMA {schema} TO {LOADER}; SET search_path = {schema};"
            f"SET ROLE {LOADER};{BASE}{case.both}{case.theirs}; RESET ROLE; {case.admin}"
        )
        asyncio.run(self._execute(SOURCE, ours.replace("@", schema)))
        asyncio.run(self._execute(DESTINATION, theirs.replace("@", schema)))
        text = case.job if case.job is not None else JOB
        for word, value in (
            ("MODE", case.mode), ("CONSTRAINTS", case.constraints), ("POLICY", case.policy),
            ("SCHEMAS", case.schemas), ("TABLES", case.tables),
        ):  # fmt: skip
            text = text.replace(word, value)
        file = self.directory / f"{schema}.yaml"
        file.write_text(text.replace("@", schema))
        return file

    def ask(self, case: Case, job: Path) -> Said:
        """Run the case's command in the case's environment."""
        environment = self.environment | {name: self.filled(value) for name, value in case.environment.items()}
        environment |= dict.fromkeys(case.unset)
        arguments = [str(job) if word == "JOB" else self.filled(word) for word in case.command.split()]
        result: Any = CliRunner().invoke(create_app(), arguments, env=environment)
        return heard(result.exit_code, result.stdout, result.stderr)

    def filled(self, text: str, schema: str = "") -> str:
        """The text with this world's ports, password, folder and broker; in names of variables nothing is replaced."""
        for word, meant in (
            ("CLOSED", str(self.closed_port)), ("PORT", str(self.server.port)), ("PASSWORD", self.password),
            ("OTHER", str(self.other.server_address[1])),
            ("BROKER", self.broker["TAILRACE_KAFKA"]), ("FOLDER", str(self.directory)),
        ):  # fmt: skip
            text = re.sub(rf"(?<![_A-Z]){word}(?![_A-Z])", meant, text)
        return text.replace("@", schema) if schema else text

    def restore(self, case: Case, schema: str) -> None:
        """Take the case's schemas away again."""
        drop = f"DROP SCHEMA {schema} CASCADE;"
        asyncio.run(self._execute(SOURCE, drop))
        asyncio.run(self._execute(DESTINATION, f"{drop}{case.undo}".replace("@", schema)))

    def close(self) -> None:
        """Stop the server of another kind."""
        self.other.shutdown()
        self.other.server_close()

    def digest(self, schema: str) -> list[tuple[Any, ...]]:
        """Everything in the destination's schema, rows and definitions, and every schema's name."""
        return asyncio.run(self._digest(schema))

    async def _execute(self, database: str, script: str) -> None:
        connection = await asyncpg.connect(self.server.url(database))
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    async def _digest(self, schema: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.server.url(DESTINATION))
        try:
            rows = await connection.fetch(
                "SELECT 'schema', nspname::text, '' FROM pg_namespace "
                "UNION ALL SELECT 'column', c.relname::text, format('%s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), "
                "a.attnotnull) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
                "WHERE c.relnamespace = $1::regnamespace "
                "UNION ALL SELECT 'constraint', conname::text, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE connamespace = $1::regnamespace "
                "UNION ALL SELECT 'index', c.relname::text, pg_get_indexdef(c.oid) FROM pg_class c "
                "WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('i', 'I') ORDER BY 1, 2, 3",
                schema,
            )
            found = [tuple(row) for row in rows]
            for name in sorted({row[1] for row in found if row[0] == "column"}):
                kind = await connection.fetchval(
                    "SELECT relkind::text FROM pg_class WHERE relname = $1 AND relnamespace = $2::regnamespace",
                    name,
                    schema,
                )
                if kind in ("r", "p"):
                    content = await connection.fetch(f'SELECT t::text FROM {schema}."{name}" t ORDER BY 1')
                    found.append(("rows", name, tuple(row[0] for row in content)))
            return found
        finally:
            await connection.close()


def heard(exit_code: int, out: str, err: str) -> Said:
    """The errors and warnings in what a command has written, each with the remedy in the line after it."""
    text = f"{out}\n{err}"
    errors, warnings = [], []
    remedies: dict[str, str] = {}
    for found in _FINDING.finditer(text):
        line = found["text"]
        (errors if found["error"] else warnings).append(line)
        following = text[found.end() + 1 :].split("\n", 1)[0].strip()
        remedies[line] = following.removeprefix("remedy:").strip() if following.startswith("remedy:") else ""
    return Said(exit_code, text, errors, warnings, remedies)
