"""A PostgreSQL whose transaction ids are about to come round."""

from __future__ import annotations

import subprocess

import asyncpg

from tailrace.embedded.accounts import unprivileged_account
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.postgres_programs import reachable_programs

WRAP = 1 << 32
_SEGMENT_XIDS = 1 << 20
_SEGMENT_BYTES = 256 << 10
_EPOCH = 3
BURN = "DO $$ BEGIN FOR i IN 1..{count} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"


def bring_near_the_wrap(server: EmbeddedPostgres, left: int) -> None:
    """So many transactions before 32 bits are over, by pg_resetwal. Whatever there is is frozen; the server is restarted."""
    server.run_sql("ALTER DATABASE template0 ALLOW_CONNECTIONS true")
    for database in server.run_sql("SELECT datname FROM pg_database").split():
        server.run_sql("VACUUM (FREEZE)", database)
    server.stop()
    near, data = WRAP - left, server.log.parent
    account, cluster = unprivileged_account(), data / "cluster"
    segment = cluster / "pg_xact" / f"{near // _SEGMENT_XIDS:04X}"
    segment.write_bytes(bytes(_SEGMENT_BYTES))
    if account is not None:
        account.own(segment)
    subprocess.run(
        [reachable_programs(account, data / "programs")["pg_resetwal"], "-D", str(cluster), f"--epoch={_EPOCH}",
         f"--next-transaction-id={near}", f"--oldest-transaction-id={near}"],
        check=True, capture_output=True, timeout=60, **(account.as_popen_arguments() if account is not None else {}),
    )  # fmt: skip
    server.start()


async def burn_past_the_wrap(connection: asyncpg.Connection) -> None:
    """Use up what is left, and a few more."""
    now = int(await connection.fetchval("SELECT pg_current_xact_id()::text::numeric"))
    await connection.execute(BURN.format(count=WRAP - now % WRAP + 10))
