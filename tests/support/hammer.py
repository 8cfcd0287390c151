"""A seeded random workload over a schema that has everything change capture finds difficult, by several sessions at once.

The seed fixes what each session tries; how sessions meet (locks, deadlocks, unique values taken by another) is the server's, and a
transaction that it refuses is rolled back: that belongs to the workload too. ``more``: further kinds of transactions, by name.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import asyncpg

from support.databases import Pair

Step = Callable[[asyncpg.Connection, random.Random], Awaitable[None]]
SESSIONS = 4
PAUSE_S = 0.03
REFUSED = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
)


async def change_owner(c: asyncpg.Connection, d: random.Random) -> None:
    """Large values unchanged, changed, one of two, to NULL and back; infinities, arrays, documents."""
    sets = {
        "amount": "amount = amount + 1",
        "body": f"body = repeat(md5('{d.random()}'), {d.choice([1, 100])})",
        "notes": f"notes = {d.choice(['NULL', 'repeat(md5(body), 90)'])}",
        "tags": f"tags = ARRAY[NULL, 'x {d.randint(1, 99)}', '{{}}'], doc = doc || jsonb_build_object('r', {d.random()})",
        "seen": f"""seen = {d.choice(["'infinity'", "'-infinity'", "now()", "NULL"])}, born = 'infinity'""",
        "score": f"""score = {d.choice(["'NaN'", "'Infinity'", "1e-300", "-0.0", str(d.random())])}""",
        "name": '"Full Name" = "Full Name" || \'é\'',
    }
    chosen = d.sample(sorted(sets), d.randint(1, 3))
    await c.execute(f'UPDATE "Owner" SET {", ".join(sets[n] for n in chosen)} WHERE "ID" % 50 = {d.randrange(50)}')


async def new_owner(c: asyncpg.Connection, d: random.Random) -> None:
    key, boss = d.randrange(1000, 2_000_000), d.randrange(1000, 2_000_000)
    values = (
        "('{0}', 'New {0}', 'n{0}@canary-mail.test', {0}, {1}, '{{}}', '{{}}', repeat(md5('{0}'), 80), NULL, 7, now())"
    )
    columns = '("ID", "Full Name", email, place, boss, tags, doc, body, notes, amount, seen)'
    # Its superior comes after it, which only a deferred foreign key allows.
    await c.execute(f'INSERT INTO "Owner" {columns} VALUES {values.format(key, boss)}')
    await c.execute(f'INSERT INTO "Owner" {columns} VALUES {values.format(boss, "NULL")}')
    await c.execute(
        f"INSERT INTO item (id, owner, kind) SELECT gen_random_uuid(), {key}, 'new' FROM generate_series(1, 3)"
    )


async def swap_unique(c: asyncpg.Connection, d: random.Random) -> None:
    """Two rows exchange a unique value, by way of a third one; and all of a stretch move up at once, deferred."""
    one, other = d.sample(range(1, 301), 2)
    if d.random() < 0.5:
        await c.execute(
            f"""UPDATE "Owner" SET email = 'aside{one}' WHERE "ID" = {one};
            UPDATE "Owner" SET email = 'p{one}@canary-mail.test' WHERE "ID" = {other};
            UPDATE "Owner" SET email = 'p{other}@canary-mail.test' WHERE "ID" = {one}"""
        )
    else:
        low = d.randrange(1, 280)
        await c.execute(
            f'UPDATE "Owner" SET place = CASE place WHEN {low + 9} THEN {low} ELSE place + 1 END '
            f"WHERE place BETWEEN {low} AND {low + 9}"
        )


async def move_key(c: asyncpg.Connection, d: random.Random) -> None:
    """Keys of every type change, and rows that refer to them with them."""
    match d.randrange(5):
        case 0:
            await c.execute(
                f'UPDATE "Owner" SET "ID" = {d.randrange(1000, 2_000_000)} WHERE "ID" = {d.randint(1, 300)} '
                'AND NOT EXISTS (SELECT 1 FROM "Owner" b WHERE b.boss = "Owner"."ID")'
            )
        case 1:
            await c.execute(
                "UPDATE item SET id = gen_random_uuid() WHERE id = (SELECT id FROM item ORDER BY md5(id::text) LIMIT 1) "
                "AND NOT EXISTS (SELECT 1 FROM item_part p WHERE p.of_item = item.id)"
            )
        case 2:
            await c.execute(
                f"UPDATE code SET code = 'CODE-{d.randrange(1_000_000):06}' WHERE code = 'CODE-{d.randint(1, 100):06}'"
            )
        case 3:
            await c.execute(
                "UPDATE item_part SET n = n + 100 WHERE n = 2 AND item IN (SELECT id FROM item LIMIT 3) AND of_n IS NULL"
            )
        case _:
            await c.execute(
                f"UPDATE badge SET serial = 'SN{d.randrange(10**8):08}' WHERE holder % 40 = {d.randrange(40)} AND holder > 100"
            )


async def swap_keys(c: asyncpg.Connection, d: random.Random) -> None:
    """Two rows exchange their keys within a transaction."""
    one, other = d.sample(range(1, 1501), 2)
    await c.execute(
        f"UPDATE tide SET id = -1 - {one} WHERE id = {one}; UPDATE tide SET id = {one} WHERE id = {other}; "
        f"UPDATE tide SET id = {other} WHERE id = -1 - {one}"
    )


async def delete_some(c: asyncpg.Connection, d: random.Random) -> None:
    match d.randrange(5):
        case 0:
            await c.execute(f'DELETE FROM "Owner" WHERE "ID" > 999 AND "ID" % 5 = {d.randrange(5)}')
        case 1:
            await c.execute(f"DELETE FROM item WHERE get_byte(uuid_send(id), 0) = {d.randrange(256)}")
        case 2:
            await c.execute(f"DELETE FROM code WHERE code = 'CODE-{d.randint(1, 100):06}'")
        case 3:
            await c.execute(f"DELETE FROM event WHERE id % 40 = {d.randrange(40)}")
        case _:
            await c.execute(f"DELETE FROM badge WHERE holder % 40 = {d.randrange(40)}")
            await c.execute(f"DELETE FROM log WHERE a = {d.randrange(10)} AND b = 'b{d.randrange(7)}'")


async def parts(c: asyncpg.Connection, d: random.Random) -> None:
    """A row comes, refers to one that comes later, changes, goes, and comes again under its key."""
    item = await c.fetchval("SELECT id FROM item ORDER BY md5(id::text || $1) LIMIT 1 FOR KEY SHARE", str(d.random()))
    if item is None:
        return
    n = d.randrange(200, 30_000)
    await c.execute("INSERT INTO item_part VALUES ($1, $2::int, 'a', $2::int + 1, $1)", item, n)
    await c.execute("INSERT INTO item_part VALUES ($1, $2::int + 1, 'b')", item, n)
    await c.execute("UPDATE item_part SET note = 'c ' || note WHERE item = $1 AND n = $2::int", item, n)
    if d.random() < 0.5:
        await c.execute("DELETE FROM item_part WHERE item = $1 AND n = $2::int", item, n)
        await c.execute("INSERT INTO item_part VALUES ($1, $2::int, 'again')", item, n)


async def codes(c: asyncpg.Connection, d: random.Random) -> None:
    code = f"CODE-{d.randrange(1_000_000):06}"
    await c.execute(f"INSERT INTO code VALUES ('{code}', 'label {d.randrange(99)}')")
    await c.execute(f"INSERT INTO code_use (code, n) VALUES ('{code}', {d.randrange(999)}.50), (NULL, 'NaN')")
    await c.execute(f"INSERT INTO badge VALUES ('SN{d.randrange(10**8):08}', {d.randrange(101, 999)}, 'blue')")


async def partitions(c: asyncpg.Connection, d: random.Random) -> None:
    """Rows come, change, and move from one partition to another, also to one whose columns stand in another order."""
    days = ["2023-02-02", "2024-02-02", "2025-06-06"]
    await c.execute(
        f"INSERT INTO event SELECT {d.randrange(1000, 10**9)}, '{d.choice(days)}', 1 + {d.randrange(300)}, '{{}}', 'x' "
    )
    await c.execute(
        f"UPDATE event SET day = date '{d.choice(days)}' + (id % 20)::int, note = note || '.' WHERE id % 60 = {d.randrange(60)}"
    )
    await c.execute(f"UPDATE event SET note = 'same place' WHERE id % 60 = {d.randrange(60)}")


async def without_key(c: asyncpg.Connection, d: random.Random) -> None:
    await c.execute(
        f"INSERT INTO log SELECT {d.randrange(10)}, 'b{d.randrange(7)}', 1.50, now(), '[1,  2]' FROM generate_series(1, 3)"
    )
    await c.execute(f"UPDATE log SET c = c + 1, d = 'infinity' WHERE a = {d.randrange(10)} AND b = 'b{d.randrange(7)}'")
    await c.execute(f"UPDATE whole SET n = n + 1 WHERE id % 20 = {d.randrange(20)}")
    await c.execute(f"UPDATE whole SET body = repeat(md5('{d.random()}'), 90) WHERE id % 30 = {d.randrange(30)}")


async def twins(c: asyncpg.Connection, d: random.Random) -> None:
    """Rows of two tables that are only ever equal."""
    t = d.randrange(10**12)
    await c.execute(f"INSERT INTO twin_a VALUES ({t}, 1); INSERT INTO twin_b VALUES ({t}, 1)")
    step, rest = d.randrange(1, 5), d.randrange(7)
    await c.execute(f"SELECT 1 FROM twin_a WHERE t % 7 = {rest} ORDER BY t FOR UPDATE")
    await c.execute(f"UPDATE twin_a SET n = n + {step} WHERE t % 7 = {rest}")
    await c.execute(f"UPDATE twin_b b SET n = a.n FROM twin_a a WHERE a.t = b.t AND a.t % 7 = {rest}")


async def tide(c: asyncpg.Connection, d: random.Random) -> None:
    """Every row, in a transaction that is larger than a record."""
    await c.execute("SELECT pg_advisory_xact_lock(7)")
    await c.execute("UPDATE tide SET level = level + 1")


async def empty(c: asyncpg.Connection, d: random.Random) -> None:
    """TRUNCATE, over foreign keys, and new rows behind it in the same transaction."""
    match d.randrange(4):
        case 0:
            await c.execute("TRUNCATE code CASCADE")
            await c.execute(f"INSERT INTO code VALUES ('CODE-{d.randrange(1_000_000):06}', 'after')")
        case 1:
            await c.execute("TRUNCATE event")
            await c.execute(
                f"INSERT INTO event SELECT i, '2024-03-03', 1, '{{}}', 'after' FROM generate_series(1, {d.randrange(1, 40)}) i"
            )
        case 2:
            await c.execute("TRUNCATE twin_a, twin_b, log")
        case _:
            await c.execute("TRUNCATE badge, whole RESTART IDENTITY")
            await c.execute("INSERT INTO whole SELECT i, repeat(md5(i::text), 100), i FROM generate_series(1, 60) i")


STEPS: Mapping[str, tuple[int, Step]] = {
    "change": (6, change_owner),
    "new": (5, new_owner),
    "swap": (4, swap_unique),
    "move": (4, move_key),
    "swap keys": (3, swap_keys),
    "delete": (3, delete_some),
    "parts": (5, parts),
    "codes": (5, codes),
    "partitions": (5, partitions),
    "without key": (4, without_key),
    "twins": (5, twins),
    "tide": (1, tide),
    "empty": (1, empty),
}
"""Kinds of steps: how often, and what."""


class Hammer:
    """Works on the source from ``with`` until its end, unless ``quiet`` is set."""

    def __init__(
        self, pair: Pair, seed: int, *, more: Mapping[str, tuple[int, Step]] | None = None, pause_s: float = PAUSE_S
    ) -> None:
        self._pair = pair
        self._seed = seed
        self._steps = {**STEPS, **(more or {})}
        self._pause_s = pause_s
        self._over = threading.Event()
        self.quiet = threading.Event()
        self.may_empty = threading.Event()
        """TRUNCATE takes rows from under a snapshot that is being read: an attempt that loads then begins anew."""
        self._pool = ThreadPoolExecutor(1)
        self._work: Future[None] | None = None
        self.done: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._work = self._pool.submit(lambda: asyncio.run(self._every()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._pool.shutdown()
        if error is None and self._work is not None:
            self._work.result()

    async def _every(self) -> None:
        await asyncio.gather(*(self._session(number) for number in range(SESSIONS)))

    async def _session(self, number: int) -> None:
        dice = random.Random(f"{self._seed}/{number}")
        names = sorted(self._steps)
        weights = [self._steps[n][0] for n in names]
        connection: asyncpg.Connection | None = None
        while not self._over.is_set():
            try:
                if connection is None:
                    connection = await asyncpg.connect(self._pair.source.url(self._pair.name))
                    await connection.execute("SET lock_timeout = '2s'")
                if not self.quiet.is_set():
                    await self._transaction(connection, dice, dice.choices(names, weights, k=dice.randint(1, 4)))
                await asyncio.sleep(dice.random() * 2 * self._pause_s)
            except (
                asyncpg.PostgresConnectionError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                asyncpg.OperatorInterventionError,
                OSError,
            ):
                if connection is not None:  # the source restarts
                    connection.terminate()
                    connection = None
                await asyncio.sleep(0.2)
        if connection is not None:
            await connection.close()

    async def _transaction(self, connection: asyncpg.Connection, dice: random.Random, steps: list[str]) -> None:
        fate = dice.random()
        if not self.may_empty.is_set():
            steps = [name for name in steps if name != "empty"]
        try:
            async with connection.transaction():
                for name in steps:
                    inner = dice.random()
                    try:
                        async with connection.transaction():  # a sub-transaction
                            await self._steps[name][1](connection, dice)
                            if inner < 0.15:
                                raise _Back
                    except _Back:
                        pass
                if fate < 0.05:
                    raise _Back
            self.done.update(steps)
        except _Back:
            self.done["rolled back"] += 1
        except REFUSED:
            self.done["refused"] += 1


class _Back(Exception):
    """Roll back."""
