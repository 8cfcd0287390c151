"""Traffic on the demo's source: a process of its own that rents out DVDs, until its standard input ends.

Seeded, so that everybody's demo sees the same customers come and go; how many of them within a minute depends on the machine.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

URL = "TAILRACE_DEMO_TRAFFIC"
"""The variable that holds the source's URL."""
SEED = 2022
BREAK_S = 0.01
FIRST_NAMES = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Keiko", "Lena")
LAST_NAMES = (
    "Almeida",
    "Brandt",
    "Costa",
    "Dupont",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haas",
    "Ivanova",
    "Jensen",
    "Kowalski",
)
STREETS = ("Mill Lane", "Weir Road", "Sluice Street", "Millpond Close", "Race Bank")
_BEGIN = datetime(2022, 2, 1, tzinfo=UTC)
_DAYS = 150
"""Payments have partitions for these."""


class Shop:
    """A till of the DVD rental: each call is one transaction of the source."""

    def __init__(self, connection: asyncpg.Connection, seed: int) -> None:
        self._source = connection
        self._random = random.Random(seed)  # noqa: S311 - what happens shall be the same everywhere
        self._ours: list[int] = []
        """Customers that this traffic has made."""
        self._rented: list[int] = []

    async def act(self) -> None:
        """Something happens."""
        acts: tuple[Callable[[], Awaitable[None]], ...] = (
            self.welcome, self.rent, self.rent, self.rent, self.move, self.correct, self.refund, self.change_of_mind,
        )  # fmt: skip
        await self._random.choice(acts)()

    async def welcome(self) -> None:
        """A new customer with an address."""
        first, last = self._random.choice(FIRST_NAMES), self._random.choice(LAST_NAMES)
        async with self._source.transaction():
            address = await self._address()
            self._ours.append(
                await self._source.fetchval(
                    "INSERT INTO customer (store_id, first_name, last_name, email, address_id, active) "
                    "VALUES ($1, $2, $3, $4, $5, 1) RETURNING customer_id",
                    self._random.randint(1, 2), first, last,
                    f"{first}.{last}{self._random.randint(1, 9999)}@mail.example".lower(), address,
                )
            )  # fmt: skip

    async def rent(self) -> None:
        """A few DVDs and what they cost, in one transaction."""
        customer = self._customer()
        at = _BEGIN + timedelta(days=self._random.randrange(_DAYS), microseconds=self._random.randrange(86_400_000_000))
        async with self._source.transaction():
            for _ in range(self._random.randint(1, 4)):
                rental = await self._source.fetchval(
                    "INSERT INTO rental (rental_date, inventory_id, customer_id, staff_id) "
                    "SELECT $1, inventory_id, $2, $3 FROM inventory ORDER BY inventory_id OFFSET $4 LIMIT 1 RETURNING rental_id",
                    at, customer, self._random.randint(1, 2), self._random.randrange(4000),
                )  # fmt: skip
                at += timedelta(seconds=1)
                await self._source.execute(
                    "INSERT INTO payment (customer_id, staff_id, rental_id, amount, payment_date) VALUES ($1, $2, $3, $4, $5)",
                    customer, self._random.randint(1, 2), rental, Decimal(self._random.randint(99, 1199)) / 100, at,
                )  # fmt: skip
                self._rented.append(rental)

    async def move(self) -> None:
        """A customer moves house: another address, and the e-mail goes with it."""
        async with self._source.transaction():
            address = await self._address()
            await self._source.execute(
                "UPDATE customer SET address_id = $2, email = lower(first_name || '.' || last_name || $3 || '@mail.example') "
                "WHERE customer_id = $1",
                self._customer(), address, str(self._random.randint(1, 9999)),
            )  # fmt: skip

    async def correct(self) -> None:
        """Everything that somebody has rented came back a little later than was noted."""
        await self._source.execute(
            "UPDATE rental SET return_date = coalesce(return_date, rental_date) + interval '1 hour' WHERE customer_id = $1",
            self._customer(),
        )

    async def refund(self) -> None:
        """A payment was a mistake."""
        if self._rented:
            rental = self._rented.pop(self._random.randrange(len(self._rented)))
            await self._source.execute("DELETE FROM payment WHERE rental_id = $1", rental)

    async def change_of_mind(self) -> None:
        """A transaction that is rolled back: nothing of it may arrive."""
        transaction = self._source.transaction()
        await transaction.start()
        await self._source.execute("UPDATE customer SET active = 0 WHERE customer_id = $1", self._customer())
        await transaction.rollback()

    def _customer(self) -> int:
        return (
            self._random.choice(self._ours)
            if self._ours and self._random.random() < 0.5
            else self._random.randint(1, 599)
        )

    async def _address(self) -> int:
        street = f"{self._random.randint(1, 300)} {self._random.choice(STREETS)}"
        found: int = await self._source.fetchval(
            "INSERT INTO address (address, district, city_id, postal_code, phone) VALUES ($1, $2, $3, $4, $5) RETURNING address_id",
            street, "Riverside", self._random.randint(1, 600), str(self._random.randint(10_000, 99_999)),
            f"555{self._random.randint(1_000_000, 9_999_999)}",
        )  # fmt: skip
        return found


async def main() -> None:
    """Act until whoever has started this closes our standard input, or is gone."""
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    connection = await asyncpg.connect(os.environ[URL])
    shop = Shop(connection, SEED)
    try:
        while not ended.done():
            await shop.act()
            await asyncio.sleep(BREAK_S)
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
