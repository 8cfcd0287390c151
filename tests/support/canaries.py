"""Originals that can be recognised anywhere: a canary for every family of types, and the search for all of them.

Texts all hold ``canary``; numbers, dates and uuids have patterns that nothing else has. The search knows each as text in any
case, and as the bytes that Arrow, PostgreSQL or a hexadecimal dump would make of it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

ROWS = 600
PERSON_ID = 1_555_500_000
ACCOUNT = 8_088_808_888_880_000_000
TOKEN = "ca9a21ee-0000-4000-8000-"
SALARY = "7654321098.76"
SCORE = 27182818.28459
LUCKY = 1_313_131_313

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
CREATE TABLE person (
  person_id integer PRIMARY KEY, account bigint NOT NULL UNIQUE, token uuid NOT NULL UNIQUE,
  first_name text, last_name text, full_name text, email varchar(120) UNIQUE, phone varchar(40), company text, street text,
  city text, postcode text, note text, nick citext, digest text, born date, seen timestamptz, met timestamp,
  salary numeric(14,2), score float8, lucky integer, photo bytea, extra jsonb, remark text, open text
);
CREATE INDEX person_note_idx ON person (note);
CREATE TABLE visit (
  visit_id uuid PRIMARY KEY, person_id integer NOT NULL REFERENCES person, account bigint REFERENCES person (account), place text
);
"""
VISIBLE = "openly visible"
"""In a column that the job duplicates: whoever does not find this has not searched."""
LOAD = f"""
INSERT INTO person SELECT {PERSON_ID} + i, {ACCOUNT} + i, ('{TOKEN}' || lpad(to_hex(i), 12, '0'))::uuid,
  'CanaryFirst' || i, 'CanaryLast' || i, 'CanaryFull Name' || i, 'canary' || i || '@canary-mail.test', '+49 CANARY 7777-' || i,
  'CanaryCompany ' || i, i || ' Canary Lane', 'Canaryville ' || i, 'CANARY ' || i, 'a note on a canary ' || i,
  'CanaryNick' || i, 'CanaryDigest' || i, date '1911-03-17', timestamptz '1987-06-05 04:03:02+00',
  timestamp '1986-07-08 09:10:11', {SALARY}, {SCORE}, {LUCKY}, convert_to('canary photo ' || i, 'UTF8'),
  jsonb_build_object('canary', i), 'canary remark ' || i, '{VISIBLE}'
FROM generate_series(1, {ROWS}) AS i;
INSERT INTO visit SELECT ('{TOKEN}' || lpad(to_hex(4096 + i), 12, '0'))::uuid, {PERSON_ID} + i, {ACCOUNT} + i, 'canary place ' || i
FROM generate_series(1, {ROWS}) AS i;
ANALYZE;
"""
PLANTED = "canary-mail.test\nplanted words 5150"
"""What the job's reference to canaries stands for: the second string is in no database, so that it can only come from there."""
JOB = """
version: 1
name: canaries
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
policy: mask
tables:
  public.person:
    columns:
      person_id: key
      account: key
      token: key
      first_name: mock.first_name
      last_name: mock.last_name
      full_name: mock.full_name
      email: mock.email
      phone: mask.text
      company: mock.company
      street: mock.street
      city: mock.city
      postcode: mock.postcode
      note: mask.text
      nick: mask.text
      digest: mask.hash
      born: mask.date
      seen: mask.date
      met: mask.date
      salary: mask.number
      score: mask.number
      lucky: mask.number
      photo: "null"
      extra: {generator: constant, value: "{}"}
      open: duplicate
  public.visit: {columns: {visit_id: key}}
verify: {canaries: ["${SHOP_CANARIES}"]}
limits: {rows_per_batch: 100, range_bytes: 65536, credit_bytes: 4194304, partitions: 4}
"""


def _texts() -> Iterator[tuple[str, bytes]]:
    said = {
        "a text": ["canary", b"canary".hex()],
        "an account": [str(ACCOUNT)[:15]],
        "a token": [TOKEN[:18], TOKEN.replace("-", "")],
        "a birthday": ["1911-03-17"],
        "a moment": ["1987-06-05 04:03", "1987-06-05t04:03", "1986-07-08 09:10", "1986-07-08t09:10"],
        "a salary": [SALARY, SALARY.replace(".", "")],
        "a score": [str(SCORE)],
        "a number": [str(LUCKY)],
    }
    for name, forms in said.items():
        for form in forms:
            yield name, form.encode()


def _binaries() -> Iterator[tuple[str, bytes]]:
    """Eight bytes or more, where they are to be told from chance. Rows of the source lie one after the other."""
    yield "a token in binary", bytes.fromhex(TOKEN.replace("-", ""))
    for order in "<>":
        yield "a score in binary", struct.pack(f"{order}d", SCORE)
        yield "a salary in binary", struct.pack(f"{order}q", int(SALARY.replace(".", "")))
        yield "numbers in binary", struct.pack(f"{order}2i", LUCKY, LUCKY)
        for i in range(1, ROWS + 1):
            yield "an account in binary", struct.pack(f"{order}q", ACCOUNT + i)
            yield "ids in binary", struct.pack(f"{order}2i", PERSON_ID + i, PERSON_ID + i + 1)


TEXTS = tuple(_texts())
IDS = re.compile(rf"{PERSON_ID // 1000}\d{{3}}".encode())
"""Whole: six digits of them are somewhere in a megabyte of measured seconds, by chance."""
BINARIES = tuple(_binaries())


@dataclass
class Search:
    """Looks for canaries, and for secrets and other strings that are given, in whatever it is shown."""

    secrets: tuple[str, ...] = ()
    texts: tuple[tuple[str, bytes], ...] = TEXTS
    found: list[str] = field(default_factory=list)
    seen_bytes: int = 0

    def text(self, where: str, *shown: str | bytes) -> None:
        """Search texts in any case."""
        for one in shown:
            data = one.encode() if isinstance(one, str) else one
            self.seen_bytes += len(data)
            lower = data.lower()
            self.found += [f"{name} in {where}" for name, form in self.texts if form in lower]
            self.found += [f"a person's id in {where}"] if IDS.search(data) else []
            self.found += [f"secret {i} in {where}" for i, secret in enumerate(self.secrets) if secret.encode() in data]

    def binary(self, where: str, shown: Iterable[bytes]) -> None:
        """Search bytes of any format, texts in them included."""
        data = b"\0".join(shown)
        self.text(where, data)
        self.found += sorted({f"{name} in {where}" for name, form in BINARIES if form in data})

    def nothing(self) -> None:
        """Fail with what was found, by the kind and the place."""
        assert self.seen_bytes, "nothing was searched"
        assert not self.found, sorted(set(self.found))
