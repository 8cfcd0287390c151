"""Foreseeable wrong inputs and environments: one clear line that names thing and remedy, an exit code, nothing changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from support.foreseeable import Case, Said, World
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.messages import RunRecord, State

FILES = [
    Case("no such file", "job.file", ("nosuch.yaml",), 2, "plan nosuch.yaml"),
    Case("a folder", "job.file", ("Is a directory",), 2, "plan /"),
    Case("not YAML", "job.yaml", (":3:",), 2, job="version: 1\nname: [oops\n"),
    Case("a list", "job.invalid", (":1:", "mapping"), 2, job="- version\n- name\n"),
    Case("an empty file", "job.invalid", (":1:", "mapping"), 2, job=""),
    Case("a key given twice", "job.invalid", (":3:", "name", "twice"), 2,
         job='version: 1\nname: a\nname: b\nsource: {url: "${WRONG_SOURCE}"}\ndestination: {url: "${WRONG_DESTINATION}"}\n'),
    Case("an unknown field", "job.invalid", (":5:", "destinaton", "destination"), 2,
         job='version: 1\nname: a\nsource: {url: "${WRONG_SOURCE}"}\ndestination: {url: "${WRONG_DESTINATION}"}\n'
             'destinaton: {}\n'),
    Case("a missing field", "job.invalid", ("destination", "is missing"), 2,
         job='version: 1\nname: a\nsource: {url: "${WRONG_SOURCE}"}\n'),
    Case("a wrong type", "job.invalid", (":5:", "limits.partitions", "whole number"), 2,
         job='version: 1\nname: a\nsource: {url: "${WRONG_SOURCE}"}\ndestination: {url: "${WRONG_DESTINATION}"}\n'
             'limits: {partitions: many}\n'),
    Case("a number out of its bounds", "job.invalid", ("limits.partitions", "at least 1"), 2,
         job='version: 1\nname: a\nsource: {url: "${WRONG_SOURCE}"}\ndestination: {url: "${WRONG_DESTINATION}"}\n'
             'limits: {partitions: 0}\n'),
    Case("an unknown word", "job.invalid", ("destination.mode", "existing"), 2, mode="overwrite"),
    Case("a version of the future", "job.invalid", ("version", "must be 1"), 2,
         job='version: 2\nname: a\nsource: {url: "${WRONG_SOURCE}"}\ndestination: {url: "${WRONG_DESTINATION}"}\n'),
    Case("a name with a space", "job.invalid", (":2:", "name", "lower-case"), 2,
         job='version: 1\nname: My Job\nsource: {url: "${WRONG_SOURCE}"}\ndestination: {url: "${WRONG_DESTINATION}"}\n'),
    Case("a URL written out", "job.invalid", (":3:", "source.url", "${NAME}"), 2,
         job='version: 1\nname: a\nsource: {url: "postgresql://me:canary-of-the-source@h/d"}\n'
             'destination: {url: "${WRONG_DESTINATION}"}\n'),
    Case("an unknown generator", "job.invalid", ("mock.emial", "mock.email"), 2,
         tables="\n  @.person: {columns: {email: mock.emial}}"),
    Case("an unknown option", "job.invalid", ("email", "size"), 2,
         tables="\n  @.person: {columns: {email: {generator: mock.email, size: 3}}}"),
    Case("an option that is missing", "job.invalid", ("note.value", "is missing"), 2,
         tables="\n  @.person: {columns: {note: {generator: constant}}}"),
    Case("an option of a wrong type", "job.invalid", ("relative", "must be a number"), 2,
         tables="\n  @.person: {columns: {id: {generator: mask.number, relative: canary-of-the-source}}}"),
]  # fmt: skip

VARIABLES = [
    Case("a variable that is not set", "secret.missing", ("WRONG_SOURCE",), 2, unset=("WRONG_SOURCE",)),
    Case("an empty variable", "secret.missing", ("WRONG_DESTINATION",), 2, environment={"WRONG_DESTINATION": ""}),
    Case("two variables that are not set", "secret.missing", ("WRONG_SOURCE, WRONG_DESTINATION",), 2,
         unset=("WRONG_SOURCE", "WRONG_DESTINATION")),
    Case("a file of a secret that cannot be read", "secret.file", ("WRONG_SOURCE_FILE",), 2,
         unset=("WRONG_SOURCE",), environment={"WRONG_SOURCE_FILE": "FOLDER/nosuch"}),
    Case("a file of a secret that is empty", "secret.file", ("WRONG_SOURCE_FILE", "empty"), 2,
         unset=("WRONG_SOURCE",), environment={"WRONG_SOURCE_FILE": "/dev/null"}),
    Case("a file of a secret that is no text", "secret.file", ("WRONG_SOURCE_FILE",), 2,
         unset=("WRONG_SOURCE",), environment={"WRONG_SOURCE_FILE": "/bin/true"}),
    Case("a mask secret that is too short", "secret.too-short", ("WRONG_SECRET", "16"), 2, "run JOB --embedded",
         environment={"WRONG_SECRET": "canary-short"}),
    Case("a transport key that is too short", "transport-key.short", ("TAILRACE_TRANSPORT_KEY", "16"), 2,
         "run JOB --embedded", environment={"TAILRACE_TRANSPORT_KEY": "canary-short"}),
    Case("a mask secret that is not set", "secret.missing", ("WRONG_SECRET",), 2, "run JOB --embedded",
         unset=("WRONG_SECRET",)),
    Case("replicas without services", "usage.replicas", ("--embedded",), 2, "run JOB --replicas generator=2"),
    Case("replicas of an unknown service", "usage.replicas", ("painter=2",), 2, "run JOB --embedded --replicas painter=2"),
    Case("detached and embedded", "usage.detach", ("--detach",), 2, "run JOB --embedded --detach"),
    Case("a namespace that Kafka does not take", "settings.invalid", ("TAILRACE_NAMESPACE must be lower-case",), 2, "status",
         environment={"TAILRACE_NAMESPACE": "No Spaces", "TAILRACE_KAFKA": "BROKER"}),
]  # fmt: skip

CONNECTIONS = [
    Case("a URL of another kind", "postgres.url", ("WRONG_SOURCE",), 2,
         environment={"WRONG_SOURCE": "mysql://me:PASSWORD@127.0.0.1/db"}),
    Case("no URL at all", "postgres.url", ("WRONG_SOURCE",), 2, environment={"WRONG_SOURCE": "PASSWORD"}),
    Case("a port that is no port", "postgres.url", ("WRONG_SOURCE", "port"), 2,
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:PASSWORD@127.0.0.1:99999/wrong_source"}),
    Case("a password with a bare slash", "postgres.url", ("WRONG_SOURCE", "user or password"), 2,
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:a/PASSWORD@127.0.0.1:PORT/wrong_source"}),
    Case("a host that refuses", "postgres.unreachable", ("WRONG_SOURCE", "127.0.0.1:CLOSED"), 4,
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:PASSWORD@127.0.0.1:CLOSED/wrong_source"}),
    Case("a port of something else", "postgres.unreachable", ("WRONG_SOURCE", "127.0.0.1:OTHER"), 4,
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:PASSWORD@127.0.0.1:OTHER/wrong_source"}),
    Case("an unknown host", "postgres.unknown-host", ("WRONG_DESTINATION", "host.invalid"), 4,
         environment={"WRONG_DESTINATION": "postgresql://wrong_loader:PASSWORD@host.invalid/wrong_destination"}),
    Case("a wrong password", "postgres.password", ("WRONG_SOURCE",), 4,
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:PASSWORDx@127.0.0.1:PORT/wrong_source"}),
    Case("an unknown user", "postgres.password", ("WRONG_SOURCE",), 4,
         environment={"WRONG_SOURCE": "postgresql://nobody:PASSWORD@127.0.0.1:PORT/wrong_source"}),
    Case("an unknown database", "postgres.unknown-database", ("WRONG_DESTINATION", "nosuch"), 4,
         environment={"WRONG_DESTINATION": "postgresql://wrong_loader:PASSWORD@127.0.0.1:PORT/nosuch"}),
    Case("a server without TLS", "postgres.tls", ("WRONG_SOURCE", "TLS"), 4,
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:PASSWORD@127.0.0.1:PORT/wrong_source?sslmode=require"}),
    Case("a role that may not log in", "postgres.login", ("WRONG_SOURCE",), 4,
         environment={"WRONG_SOURCE": "postgresql://wrong_nologin:PASSWORD@127.0.0.1:PORT/wrong_source"}),
    Case("a role that may not connect to the database", "postgres.privilege", ("WRONG_SOURCE", "wrong_source"), 4,
         environment={"WRONG_SOURCE": "postgresql://wrong_loader:PASSWORD@127.0.0.1:PORT/wrong_source"}),
    Case("a role without a connection left", "postgres.connections", ("WRONG_DESTINATION",), 4,
         environment={"WRONG_DESTINATION": "postgresql://wrong_busy:PASSWORD@127.0.0.1:PORT/wrong_destination"}),
    Case("an option of the URL that does not exist", "postgres.url", ("WRONG_SOURCE",), 2,
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:PASSWORD@127.0.0.1:PORT/wrong_source?sslmode=maybe"}),
    Case("verifying without a destination", "postgres.unreachable", ("WRONG_DESTINATION",), 4, "verify JOB",
         environment={"WRONG_DESTINATION": "postgresql://wrong_loader:PASSWORD@127.0.0.1:CLOSED/wrong_destination"}),
    Case("checking with a wrong password", "postgres.password", ("source", "WRONG_SOURCE"), 4, "check JOB",
         environment={"WRONG_SOURCE": "postgresql://wrong_reader:PASSWORDx@127.0.0.1:PORT/wrong_source"}),
    Case("the source as destination", "plan.same-database", ("wrong_source",),
         environment={"WRONG_DESTINATION": "postgresql://wrong_reader:PASSWORD@127.0.0.1:PORT/wrong_source"}),
]  # fmt: skip

SCOPE = [
    Case("an unknown schema", "plan.unknown-schema", ("nosuch",), schemas="@, nosuch"),
    Case("Tailrace's own schema", "plan.reserved-schema", ("tailrace",), schemas="@, tailrace"),
    Case("no table at all", "plan.nothing", ("no table",), tables="\n  '@.*': {mode: exclude}"),
    Case("an unknown table", "plan.unknown-table", ("@.persn",), tables="\n  @.persn: {mode: exclude}"),
    Case("a table in a schema that is not listed", "plan.schema-not-listed", ("@_b.log",),
         ours="CREATE SCHEMA @_b; CREATE TABLE @_b.log (p int REFERENCES person);", tables="\n  @_b.log: {mode: truncate}"),
    Case("a pattern that matches nothing", "plan.pattern-without-table", ("@.tmp_*",), 0, severity="warning",
         tables="\n  '@.tmp_*': {mode: exclude}"),
    Case("an unknown column", "plan.unknown-column", ("@.person.emial",), tables="\n  @.person: {columns: {emial: mock.email}}"),
    Case("column rules in a duplicated table", "plan.rules-without-carry", ("@.person",),
         tables="\n  @.person: {mode: duplicate, columns: {note: 'null'}}"),
    Case("a view", "plan.not-a-table", ("@.v", "view"), both="CREATE VIEW v AS SELECT 1 AS a;",
         tables="\n  @.v: {columns: {a: duplicate}}"),
    Case("a materialised view", "plan.not-a-table", ("@.m", "materialised view"),
         both="CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;", tables="\n  @.m: {columns: {a: duplicate}}"),
    Case("a foreign table", "plan.not-a-table", ("@.f", "foreign table"),
         ours="CREATE FOREIGN DATA WRAPPER w_@; CREATE SERVER s_@ FOREIGN DATA WRAPPER w_@;"
              "CREATE FOREIGN TABLE f (a int) SERVER s_@;", tables="\n  @.f: {columns: {a: duplicate}}"),
    Case("a partition instead of its table", "plan.partition", ("@.log_1", "@.log"),
         both="CREATE TABLE log (a int) PARTITION BY LIST (a); CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1);",
         tables="\n  @.log: {columns: {a: duplicate}}\n  @.log_1: {columns: {a: duplicate}}"),
    Case("a condition on a table that is not carried", "plan.filter-without-carry", ("@.visit", "where"),
         tables="\n  @.visit: {mode: truncate, where: 'id > 1'}"),
    Case("a condition that ends too early", "plan.where", ("@.visit", "character 7", "parenthesis"),
         tables="\n  @.visit: {where: 'id = 1) OR (true'}"),
    Case("a condition over an unknown column", "plan.where", ("@.visit", "character 1", "colour"),
         tables="\n  @.visit: {where: 'colour = 1'}"),
    Case("a condition over a table that the role may not read", "plan.where", ("@.visit", "secret_table"),
         ours="CREATE TABLE secret_table (a int);",
         tables="\n  @.secret_table: {mode: exclude}\n  @.visit: {where: 'id IN (SELECT a FROM @.secret_table)'}"),
    Case("a condition that is another every time", "plan.where-volatile", ("@.visit", "random()"),
         tables="\n  @.visit: {where: 'random() < 0.5'}"),
    Case("a condition with a variable that is not set", "plan.where-variable", ("@.visit", "NO_SUCH_NAME"),
         tables="\n  @.visit: {where: 'id = ${NO_SUCH_NAME}'}"),
    Case("rows that refer to what a condition leaves out", "plan.missing-parents", ("visit_person_fkey", "@.person", "nullify"),
         tables="\n  @.person: {where: 'id > 1'}"),
    Case("a reference that cannot become NULL", "plan.nullify", ("visit_person_fkey", "NOT NULL", "exclude"),
         tables="\n  @.person: {where: 'id > 1'}\n  @.visit: {missing_parents: nullify}"),
    Case("a key of the job to no table", "plan.virtual-key-table", ("foreign_keys.0", "@.persons"),
         tables=" {}\nforeign_keys: [{table: @.visit, columns: [id], references: @.persons}]"),
    Case("a key of the job between kinds", "plan.virtual-key-type", ("@.person.note", "@.visit.id"),
         tables=" {}\nforeign_keys: [{table: @.person, columns: [note], references: @.visit}]"),
    Case("a polymorphic key whose type is masked", "plan.when-masked", ("@.tag.kind", "duplicate"),
         both="CREATE TABLE tag (id int PRIMARY KEY, owner int, kind text);",
         tables="\n  @.tag: {columns: {kind: mask.text}}\n"
                "foreign_keys: [{table: @.tag, columns: [owner], references: @.person, when: {kind: Person}}]"),
    Case("a file of keys that is not there", "job.foreign-keys-file", ("keys.json",), 2,
         tables=" {}\nforeign_keys_file: keys.json"),
    Case("a partition on another server", "plan.foreign-partition", ("@.log_1",),
         ours="CREATE FOREIGN DATA WRAPPER w_@; CREATE SERVER s_@ FOREIGN DATA WRAPPER w_@;"
              "CREATE TABLE log (a int) PARTITION BY LIST (a);"
              "CREATE FOREIGN TABLE log_1 PARTITION OF log FOR VALUES IN (1) SERVER s_@;"
              "GRANT SELECT ON log, log_1 TO wrong_reader;",
         theirs="CREATE TABLE log (a int)", tables="\n  @.log: {mode: duplicate}"),
    Case("a parent that is left out", "plan.outside-parent", ("visit_person_fkey", "@.person"),
         tables="\n  @.person: {mode: exclude}"),
    Case("a child that is left out and has rows", "plan.outside-rows", ("@.extra", "@.person"),
         theirs="CREATE TABLE extra (p int REFERENCES person);",
         admin="SET session_replication_role = replica; INSERT INTO extra VALUES (7);"),
    Case("a child that is left out in respect mode", "plan.outside-reference", ("@.extra", "@.person"),
         constraints="respect", theirs="CREATE TABLE extra (p int REFERENCES person)"),
]  # fmt: skip

RULES = [
    Case("a column without a rule", "plan.no-rule", ("@.person.note", "halt"), policy="halt",
         tables="\n  @.person: {columns: {id: key, name: mask.text, email: mask.text, born: mask.date}}\n"
                "  @.visit: {columns: {id: key, at: duplicate}}"),
    Case("a generator on a wrong type", "plan.generator-family", ("@.person.born", "mock.email"),
         tables="\n  @.person: {columns: {born: mock.email}}"),
    Case("a mock on a unique column", "plan.generator-not-injective", ("@.person.email", "mock.first_name"),
         tables="\n  @.person: {columns: {email: mock.first_name}}"),
    Case("a key on a float", "plan.generator-family", ("@.person.weight", "key"),
         both="ALTER TABLE person ADD weight float8;", tables="\n  @.person: {columns: {weight: key}}"),
    Case("null in a NOT NULL column", "plan.not-null", ("@.person.name",), tables="\n  @.person: {columns: {name: 'null'}}"),
    Case("a NOT NULL column that no generator masks", "plan.no-mask-for-type", ("@.person.photo", "bytea"),
         both="ALTER TABLE person ADD photo bytea NOT NULL DEFAULT '';"),
    Case("a constant of a wrong type", "plan.generator-constant", ("@.person.born",),
         tables="\n  @.person: {columns: {born: {generator: constant, value: canary-of-the-source}}}"),
    Case("two rules for values that must stay equal", "plan.conflicting-rules", ("@.visit.person", "@.person.id"),
         tables="\n  @.person: {columns: {id: key}}\n  @.visit: {columns: {person: mask.number}}"),
    Case("one domain for two kinds of value", "plan.mixed-domain", ("shared-one",),
         tables="\n  @.person: {columns: {id: {generator: key, domain: shared-one}, note: {generator: key, domain: shared-one}}}"),
    Case("a mask on a partition key", "plan.partition-key", ("@.log", "region"),
         both="CREATE TABLE log (region text) PARTITION BY LIST (region); CREATE TABLE log_a PARTITION OF log FOR VALUES IN ('a');",
         tables="\n  @.log: {columns: {region: mask.text}}"),
    Case("a rule for a generated column", "plan.generated-column", ("@.person.twice",),
         both="ALTER TABLE person ADD twice int GENERATED ALWAYS AS (id * 2) STORED;",
         tables="\n  @.person: {columns: {twice: duplicate}}"),
    Case("a mask under a unique expression", "plan.unique-expression", ("person_md5", "email"),
         theirs="CREATE UNIQUE INDEX person_md5 ON person (md5(email))"),
    Case("a mock too long for its column", "plan.generator-too-long", ("@.person.note", "mock.email"),
         theirs="ALTER TABLE person ALTER note TYPE varchar(5)", tables="\n  @.person: {columns: {note: mock.email}}"),
]  # fmt: skip

DRIFT = [
    Case("a table that the destination lacks", "plan.missing-table", ("@.visit",), theirs="DROP TABLE visit"),
    Case("a column that the destination lacks", "plan.missing-column", ("@.person.note",),
         theirs="ALTER TABLE person DROP note"),
    Case("a column that the source lacks", "plan.unfed-column", ("@.person.extra",),
         theirs="ALTER TABLE person ADD extra int NOT NULL"),
    Case("a narrower text", "plan.type", ("@.person.email", "varchar(10)|character varying(10)"),
         theirs="ALTER TABLE person ALTER email TYPE varchar(10)"),
    Case("a narrower integer", "plan.type", ("@.visit.id", "smallint"), theirs="ALTER TABLE visit ALTER id TYPE smallint"),
    Case("another type", "plan.type", ("@.person.born", "integer"), theirs="ALTER TABLE person DROP born, ADD born int"),
    Case("labels that an enum lacks", "plan.type", ("@.person.mood", "sad"),
         ours="CREATE TYPE mood AS ENUM ('ok', 'sad'); ALTER TABLE person ADD mood mood;",
         theirs="CREATE TYPE mood AS ENUM ('ok'); ALTER TABLE person ADD mood mood",
         tables="\n  @.person: {columns: {mood: duplicate}}"),
    Case("rows where none may be", "plan.not-empty", ("@.person", "rows"),
         theirs="INSERT INTO person VALUES (5, 'x')"),
    Case("a view where the table belongs", "plan.not-a-table", ("@.visit", "destination"),
         theirs="DROP TABLE visit; CREATE VIEW visit AS SELECT 1 AS id, 1 AS person, now() AS at"),
    Case("a table without partitions", "plan.no-partition", ("@.log",),
         ours="CREATE TABLE log (a int); GRANT SELECT ON log TO wrong_reader;",
         theirs="CREATE TABLE log (a int) PARTITION BY LIST (a)", tables="\n  @.log: {mode: duplicate}"),
    Case("a row whose partition only the source has", "plan.partition-missing", ("@.log", "1 rows", "@.log_2"),
         both="CREATE TABLE log (a int) PARTITION BY LIST (a); CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1);",
         ours="CREATE TABLE log_2 PARTITION OF log FOR VALUES IN (2); INSERT INTO log VALUES (1), (2);"
              "GRANT SELECT ON log, log_2 TO wrong_reader;", tables="\n  @.log: {mode: duplicate}"),
    Case("a row that has a partition nowhere", "plan.partition-missing", ("@.log", "1 rows"),
         ours="CREATE TABLE log (a int); INSERT INTO log VALUES (1), (7); GRANT SELECT ON log TO wrong_reader;",
         theirs="CREATE TABLE log (a int) PARTITION BY RANGE (a); CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (5)",
         tables="\n  @.log: {mode: duplicate}"),
    Case("a NOT NULL that the source does not keep", "plan.null-in-source", ("@.person.note", "1 rows"),
         ours="UPDATE person SET note = NULL", theirs="ALTER TABLE person ALTER note SET NOT NULL"),
    Case("a NOT NULL that a part of the source may keep", "plan.nullable-source", ("@.person.note",), 0, severity="warning",
         theirs="ALTER TABLE person ALTER note SET NOT NULL", tables="\n  @.person: {where: 'note IS NOT NULL'}"),
    Case("a unique key that the source breaks", "plan.not-unique-in-source", ("visit_at_key", "1 groups"),
         ours="INSERT INTO visit VALUES (2, 1, '2024-01-01')", theirs="ALTER TABLE visit ADD UNIQUE (at)",
         tables="\n  @.visit: {columns: {at: duplicate}}"),
    Case("a unique key that a part of the source may keep", "plan.unique-in-destination-only", ("visit_at_key",), 0,
         severity="warning", theirs="ALTER TABLE visit ADD UNIQUE (at)",
         tables="\n  @.visit: {where: 'id > 0', columns: {at: duplicate}}"),
    Case("a foreign key that the source breaks", "plan.foreign-key-broken-in-source", ("visit_id_fkey", "1 rows"),
         ours="INSERT INTO visit VALUES (77, 1, '2024-02-02')",
         theirs="ALTER TABLE visit ADD FOREIGN KEY (id) REFERENCES person"),
    Case("a foreign key that nobody guarantees", "plan.foreign-key-not-valid", ("visit_id_fkey", "1 rows"), 0,
         ours="INSERT INTO visit VALUES (77, 1, '2024-02-02');"
              "ALTER TABLE visit ADD FOREIGN KEY (id) REFERENCES person NOT VALID", severity="warning",
         theirs="ALTER TABLE visit ADD FOREIGN KEY (id) REFERENCES person NOT VALID"),
    Case("a foreign key whose triggers are disabled", "plan.foreign-key-silenced", ("visit_person_fkey", "respect"), 0,
         severity="warning", admin="ALTER TABLE visit DISABLE TRIGGER ALL"),
    Case("a check that the source breaks", "plan.check-broken-in-source", ("visit_at_check", "rows of the source break it"),
         theirs="ALTER TABLE visit ADD CHECK (date_part('year', at) > 2999)",
         tables="\n  @.visit: {columns: {at: duplicate}}"),
    Case("a check whose function only the destination has", "plan.check-in-destination-only", ("visit_at_check",), 0,
         severity="warning", tables="\n  @.visit: {columns: {at: duplicate}}",
         theirs="CREATE FUNCTION fine(timestamptz) RETURNS bool IMMUTABLE LANGUAGE sql RETURN true;"
                "ALTER TABLE visit ADD CHECK (fine(at))"),
    Case("a table that a crash empties", "plan.unlogged", ("@.person",), 0, severity="warning",
         theirs="ALTER TABLE visit SET UNLOGGED; ALTER TABLE person SET UNLOGGED", tables="\n  @.visit: {mode: truncate}"),
    Case("a job that cannot be verified", "plan.missing-table", ("@.visit",), 3, "verify JOB", theirs="DROP TABLE visit"),
]  # fmt: skip

RIGHTS = [
    Case("no SELECT in the source", "plan.privilege", ("@.person", "GRANT SELECT"),
         ours="REVOKE SELECT ON person FROM wrong_reader;"),
    Case("no USAGE in the source", "plan.privilege", ("GRANT USAGE ON SCHEMA",),
         ours="REVOKE USAGE ON SCHEMA @ FROM wrong_reader;"),
    Case("no SELECT on a partition", "plan.privilege", ("@.log_1", "GRANT SELECT"),
         both="CREATE TABLE log (a int) PARTITION BY LIST (a); CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1);",
         ours="REVOKE SELECT ON log_1 FROM wrong_reader;", tables="\n  @.log: {mode: duplicate}"),
    Case("row security in the source", "plan.row-security", ("@.person", "BYPASSRLS"),
         ours="ALTER TABLE person ENABLE ROW LEVEL SECURITY;"),
    Case("row security in the destination", "plan.row-security", ("@.person", "BYPASSRLS"),
         theirs="ALTER TABLE person ENABLE ROW LEVEL SECURITY; ALTER TABLE person FORCE ROW LEVEL SECURITY"),
    Case("no TRUNCATE in the destination", "plan.privilege", ("@.visit", "GRANT TRUNCATE"), constraints="respect",
         admin="ALTER TABLE visit OWNER TO postgres; GRANT SELECT, INSERT ON visit TO wrong_loader;"),
    Case("no ownership of what is rebuilt", "plan.privilege", ("@.visit", "foreign keys", "ALTER TABLE"),
         admin="ALTER TABLE visit OWNER TO postgres; GRANT SELECT, INSERT, TRUNCATE ON visit TO wrong_loader;"),
    Case("no CREATE in a schema of rebuilt indexes", "plan.privilege", ("GRANT CREATE ON SCHEMA",),
         theirs="CREATE INDEX ON visit (at)", admin="REVOKE CREATE ON SCHEMA @ FROM wrong_loader;"),
    Case("no right to set a sequence", "plan.privilege", ("@.ids", "GRANT SELECT, UPDATE ON SEQUENCE"), constraints="respect",
         theirs="CREATE SEQUENCE ids OWNED BY person.id; ALTER TABLE person ALTER id SET DEFAULT nextval('ids')",
         admin="ALTER SEQUENCE ids OWNED BY NONE; ALTER SEQUENCE ids OWNER TO postgres;"
               "GRANT USAGE ON SEQUENCE ids TO wrong_loader;"),
    Case("no CREATE for the schema tailrace", "plan.privilege", ("tailrace", "GRANT CREATE ON DATABASE"),
         admin="REVOKE CREATE ON DATABASE wrong_destination FROM wrong_loader;",
         undo="GRANT CREATE ON DATABASE wrong_destination TO wrong_loader;"),
    Case("a cycle in respect mode", "plan.cycle", ("person_boss_fkey", "session_replication_role"), constraints="respect",
         both="ALTER TABLE person ADD boss int REFERENCES person;"),
    Case("a missing SELECT, checked", "plan.privilege", ("source", "@.person", "GRANT SELECT"), 3, "check JOB",
         ours="REVOKE SELECT ON person FROM wrong_reader;"),
    Case("a missing ownership, checked", "plan.privilege", ("destination", "@.visit"), 3, "check JOB",
         admin="ALTER TABLE visit OWNER TO postgres; GRANT SELECT, INSERT, TRUNCATE ON visit TO wrong_loader;"),
    Case("a role that only reads, checked", "postgres.read-only", ("destination", "default_transaction_read_only"), 3, "check JOB",
         admin="ALTER ROLE wrong_loader SET default_transaction_read_only = on;",
         undo="ALTER ROLE wrong_loader RESET default_transaction_read_only;"),
    Case("another run on the tables, checked", "claim.taken", ("01JRUN", "@.person"), 3, "check JOB",
         admin="CREATE SCHEMA tailrace AUTHORIZATION wrong_loader; CREATE TABLE tailrace.run (run text, state text);"
               "CREATE TABLE tailrace.claim (schema_name text, name text, run text);"
               "INSERT INTO tailrace.run VALUES ('01JRUN', 'loading'); INSERT INTO tailrace.claim VALUES ('@', 'person', '01JRUN');"
               "GRANT SELECT ON ALL TABLES IN SCHEMA tailrace TO wrong_loader;",
         undo="DROP SCHEMA tailrace CASCADE;"),
]  # fmt: skip

APPENDING = [
    Case("a table to be emptied where rows are added", "plan.append-truncate", ("@.visit", "exclude"), mode="append",
         tables="\n  @.visit: {mode: truncate}"),
    Case("keys that may be there", "plan.append-collision", ("@.person", "person_pkey"), 0, mode="append", severity="warning",
         theirs="INSERT INTO person VALUES (5, 'x')"),
    Case("a cycle where rows are added", "plan.cycle", ("person_visit_fkey", "visit_person_fkey", "DEFERRABLE"), mode="append",
         both="ALTER TABLE person ADD visit int REFERENCES visit;"),
    Case("no INSERT where rows are added", "plan.privilege", ("@.visit", "GRANT INSERT"), mode="append",
         admin="ALTER TABLE visit OWNER TO postgres; GRANT SELECT ON visit TO wrong_loader;"),
    Case("a trigger that would fire where rows are added", "plan.privilege", ("@.visit", "triggers"), mode="append",
         theirs="CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                "CREATE TRIGGER t BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION f()",
         admin="ALTER TABLE visit OWNER TO postgres; GRANT SELECT, INSERT ON visit TO wrong_loader;"),
    Case("a reference to rows that nobody has", "plan.outside-parent", ("visit_person_fkey", "@.person"), mode="append",
         tables="\n  @.person: {mode: exclude}\n  @.visit: {mode: duplicate}"),
]  # fmt: skip

GONE = "DROP TABLE visit, person;"
CREATING = [
    Case("a name that is taken where tables are made", "plan.create-exists", ("visit_pkey", "Drop or rename @.visit_pkey"),
         mode="create", theirs=f"{GONE} CREATE TABLE visit_pkey (i int);"),
    Case("a type that is there where tables are made", "plan.create-exists", ("type @.mood",), mode="create",
         ours="CREATE TYPE mood AS ENUM ('a'); ALTER TABLE person ADD m mood;",
         theirs=f"{GONE} CREATE TYPE mood AS ENUM ('b');", tables="\n  @.person: {columns: {m: duplicate}}"),
    Case("an extension that only a superuser makes", "plan.create-extension", ("pgstattuple", "As a superuser"), mode="create",
         ours="CREATE EXTENSION pgstattuple SCHEMA @; ALTER TABLE person ADD p bigint DEFAULT @.pg_relpages('pg_class');",
         theirs=GONE),
    Case("no right to make tables", "plan.privilege", ("@", "GRANT USAGE, CREATE ON SCHEMA"), mode="create", theirs=GONE,
         admin="REVOKE CREATE ON SCHEMA @ FROM wrong_loader;"),
    Case("a parent that is left out where tables are made", "plan.create-needs", ("@.heir", "@.base"), mode="create",
         ours="CREATE TABLE base (x int); CREATE TABLE heir () INHERITS (base); "
              "GRANT SELECT ON ALL TABLES IN SCHEMA @ TO wrong_reader;",
         theirs=GONE, tables="\n  @.base: {mode: exclude}"),
    Case("an emptied table that pg_dump may not see", "plan.privilege", ("@.visit", "pg_dump", "GRANT SELECT"), mode="create",
         ours="REVOKE SELECT ON visit FROM wrong_reader;", theirs=GONE, tables="\n  @.visit: {mode: truncate}"),
    Case("a pg_dump that is none", "create.pg-dump", ("TAILRACE_PG_DUMP",), 0, mode="create", severity="warning", theirs=GONE,
         environment={"TAILRACE_PG_DUMP": "FOLDER/nosuch"}),
    Case("a view over what is left out", "plan.create-without", ("view @.seen", "@.visit"), 0, mode="create",
         severity="warning", ours="CREATE VIEW seen AS SELECT * FROM visit;", theirs=GONE, tables="\n  @.visit: {mode: exclude}"),
    Case("constraints in force where tables are made", "plan.create-respect", ("wrong", "constraints"), 0, mode="create",
         constraints="respect", severity="warning", theirs=GONE),
    Case("policies that bind their owner", "plan.row-security", ("@.visit", "BYPASSRLS"), mode="create", theirs=GONE,
         ours="ALTER TABLE visit FORCE ROW LEVEL SECURITY;"),
]  # fmt: skip

BROKERS = [
    Case("no broker", "kafka.unreachable", ("127.0.0.1:CLOSED", "TAILRACE_KAFKA"), 4, "run JOB",
         environment={"TAILRACE_KAFKA": "127.0.0.1:CLOSED"}),
    Case("no broker, asked for runs", "kafka.unreachable", ("127.0.0.1:CLOSED",), 4, "status",
         environment={"TAILRACE_KAFKA": "127.0.0.1:CLOSED"}),
    Case("no broker, checked", "kafka.unreachable", ("brokers", "127.0.0.1:CLOSED"), 4, "check JOB",
         environment={"TAILRACE_KAFKA": "127.0.0.1:CLOSED"}),
    Case("an address that is none", "settings.invalid", ("TAILRACE_KAFKA must be host:port",), 2, "status",
         environment={"TAILRACE_KAFKA": "kafka://PASSWORD@broker"}),
    Case("TLS where there is none", "kafka.unreachable", ("BROKER", "SSL"), 4, "status",
         environment={"TAILRACE_KAFKA": "BROKER", "TAILRACE_KAFKA_SECURITY_PROTOCOL": "SSL",
                      "TAILRACE_KAFKA_REQUEST_TIMEOUT_S": "3"}),
    Case("a login where there is none", "kafka.unreachable", ("BROKER", "SASL_PLAINTEXT"), 4, "run JOB",
         environment={"TAILRACE_KAFKA": "BROKER", "TAILRACE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                      "TAILRACE_KAFKA_SASL_USERNAME": "me", "TAILRACE_KAFKA_SASL_PASSWORD": "PASSWORD",
                      "TAILRACE_KAFKA_REQUEST_TIMEOUT_S": "3"}),
    Case("a login without a password", "settings.invalid", ("TAILRACE_KAFKA_SASL_PASSWORD",), 2, "status",
         environment={"TAILRACE_KAFKA": "BROKER", "TAILRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                      "TAILRACE_KAFKA_SASL_USERNAME": "me"}),
    Case("an authority that is no file", "kafka.ca-file", ("TAILRACE_KAFKA_CA_FILE",), 2, "status",
         environment={"TAILRACE_KAFKA": "BROKER", "TAILRACE_KAFKA_SECURITY_PROTOCOL": "SSL",
                      "TAILRACE_KAFKA_CA_FILE": "FOLDER/nosuch.pem"}),
    Case("a protocol that is none", "settings.invalid", ("TAILRACE_KAFKA_SECURITY_PROTOCOL",), 2, "check JOB",
         environment={"TAILRACE_KAFKA": "BROKER", "TAILRACE_KAFKA_SECURITY_PROTOCOL": "TLS"}),
    Case("an unknown run", "run.unknown", ("01JNOSUCH",), 2, "status 01JNOSUCH", environment={"TAILRACE_KAFKA": "BROKER"}),
    Case("a run's id that is too short", "run.ambiguous", ("01JSAME", "2 runs"), 2, "status 01JSAME",
         environment={"TAILRACE_KAFKA": "BROKER"}),
    Case("a cancellation with an id that is too short", "run.ambiguous", ("01JSAME", "2 runs"), 2, "cancel 01JSAME",
         environment={"TAILRACE_KAFKA": "BROKER"}),
    Case("a cancellation of an unknown run", "run.unknown", ("01JNOSUCH",), 2, "cancel 01JNOSUCH",
         environment={"TAILRACE_KAFKA": "BROKER"}),
]  # fmt: skip

REPORTS = [
    Case("a report that is not there", "report.file", ("nosuch.json",), 2, "report FOLDER/nosuch.json"),
    Case("a folder for a report", "report.file", ("Is a directory",), 2, "report /"),
    Case("something else for a report", "report.format", ("wrong",), 2, "report JOB"),
    Case("a report key that can be guessed", "report.key", ("TAILRACE_REPORT_KEY",), 2, "verify JOB",
         environment={"TAILRACE_REPORT_KEY": "fifteen-letters"}),
    Case("a report key in a file that is not there", "secret.file", ("TAILRACE_REPORT_KEY_FILE",), 2, "verify JOB",
         environment={"TAILRACE_REPORT_KEY_FILE": "FOLDER/nosuch"}),
    Case("a report into a folder that is not there", "report.file", ("nosuch/r.json",), 2,
         "verify JOB --report FOLDER/nosuch/r.json"),
    Case("a report over a folder", "report.file", ("is a folder",), 2, "verify JOB --report /tmp"),
    Case("a report of an unknown run", "run.unknown", ("01JNOSUCH",), 2, "verify JOB --run 01JNOSUCH"),
    Case("a report of a run that is not named in full", "run.ambiguous", ("01JSAME",), 2, "verify JOB --run 01JSAME",
         admin="CREATE SCHEMA tailrace; CREATE TABLE tailrace.run (run text, state text, attempt int, digest text,"
               "submitted_at timestamptz, finished_at timestamptz, job json, checks jsonb);"
               "INSERT INTO tailrace.run (run) VALUES ('01JSAMEA'), ('01JSAMEB'); GRANT USAGE ON SCHEMA tailrace TO wrong_loader;"
               "GRANT SELECT ON tailrace.run TO wrong_loader;",
         undo="DROP SCHEMA tailrace CASCADE;"),
]  # fmt: skip

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CASES = [*FILES, *VARIABLES, *CONNECTIONS, *SCOPE, *RULES, *DRIFT, *RIGHTS, *APPENDING, *CREATING, *BROKERS, *REPORTS]


def record(run: str, state: State) -> RunRecord:
    job = Job(name="wrong", source=Source(url="${WRONG_SOURCE}"), destination=Destination(url="${WRONG_DESTINATION}"))
    return RunRecord(run=run, version=1, state=state, job=job, submitted_at=NOW, updated_at=NOW)


@pytest.fixture(scope="module")
def world(runtime: Runtime, source: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(source, runtime.kafka_settings, tmp_path_factory.mktemp("wrong"))
    made.publish(record("01JSAMEA", "done"), record("01JSAMEB", "failed"))
    yield made
    made.close()


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.name for case in CASES])
def test_what_is_wrong_is_said_in_one_line_with_its_remedy_and_nothing_is_changed(
    world: World, number: int, case: Case
) -> None:
    schema = f"c{number}"
    try:
        job = world.prepare(case, schema)
        before = world.digest(schema)
        said = world.ask(case, job)
        after = world.digest(schema)
    finally:
        world.restore(case, schema)
    print(said.text)
    assert said.exit == case.exit
    lines = said.errors if case.severity == "error" else said.warnings
    assert len(lines) == 1
    assert case.code in lines[0]
    for words in case.says:
        shown = lines[0] + said.remedies[lines[0]]
        assert any(one in shown for one in world.filled(words, schema).split("|"))
    assert said.remedies[lines[0]]
    assert "Traceback" not in said.text
    assert world.password not in said.text
    assert "canary" not in said.text
    assert after == before


WITH_BROKER = {"TAILRACE_KAFKA": "BROKER"}


@pytest.fixture
def asking(world: World) -> Iterator[Callable[..., Said]]:
    """Runs a command where nothing is wrong."""
    right = Case("right", "", (), 0)
    job = world.prepare(right, "fine")

    def ask(command: str, **environment: str) -> Said:
        return world.ask(Case("right", "", (), 0, command, environment=environment), job)

    before = world.digest("fine")
    try:
        yield ask
        assert world.digest("fine") == before
    finally:
        world.restore(right, "fine")


@pytest.mark.parametrize(("run", "words"), [("01JSAMEA", "done"), ("01JSAMEB", "failed")])
def test_cancelling_a_run_that_has_ended_says_how_and_changes_nothing(
    asking: Callable[..., Said], run: str, words: str
) -> None:
    said = asking(f"cancel {run}", **WITH_BROKER)
    assert said.exit == 1
    assert f"run {run}" in said.text
    assert words in said.text


def test_where_nothing_is_wrong_the_preflight_says_so_and_makes_nothing(
    world: World, asking: Callable[..., Said], runtime: Runtime
) -> None:
    said = asking("check JOB --json", **WITH_BROKER, TAILRACE_NAMESPACE="untouched")
    found = json.loads(said.text[: said.text.rindex("}") + 1])
    assert (said.exit, found["ready"]) == (0, True)
    status = {f"{finding['area']} {finding['name']}": finding["status"] for finding in found["findings"]}
    for name in (
        "brokers connection", "brokers topics", "brokers requests", "source snapshot", "source privileges",
        "destination writable", "destination privileges", "destination other runs", "plan tables and columns",
    ):  # fmt: skip
        assert status[name] == "ok"
    assert (status["services writer"], status["services generator"]) == ("warning", "unknown")
    assert world.password not in said.text
    assert not {topic for topic in topic_names(runtime) if topic.startswith("untouched")}


def test_without_brokers_and_without_a_transport_key_an_embedded_run_is_ready(asking: Callable[..., Said]) -> None:
    said = asking("check JOB")
    assert said.exit == 0
    assert "TAILRACE_KAFKA: is not set" in said.text
    assert "nothing stands against a run" in said.text


def topic_names(runtime: Runtime) -> set[str]:
    async def ask() -> set[str]:
        async with Kafka(KafkaSettings(brokers=runtime.kafka_settings["TAILRACE_KAFKA"])).admin() as admin:
            return await admin.topics()

    return asyncio.run(ask())
