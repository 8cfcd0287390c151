"""A primary with a standby that keeps its logical slots, and a way to fail over to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.databases import Pair
from support.installation import eventually
from support.tcp_proxy import Behind, TcpProxy, proxied
from tailrace.embedded.postgres import LOOPBACK, SUPERUSER, EmbeddedPostgres
from tailrace.embedded.runtime import Runtime

SLOT = "standby"


@dataclass
class Twins:
    """The source twice: services and standby reach the primary through proxies of their own."""

    pair: Behind
    """Its source is the primary, after the failover the promoted standby."""
    standby: EmbeddedPostgres
    services: TcpProxy
    replication: TcpProxy

    def wait_for(self, on: bool = True) -> None:
        """Logical slots stream only what the standby has; or, without ``on``, whatever there is."""
        waited = SLOT if on else ""
        self.pair.source.run_sql(f"ALTER SYSTEM SET synchronized_standby_slots = '{waited}';")
        self.pair.source.run_sql("SELECT pg_reload_conf();")

    def synced(self, slots: int = 1) -> None:
        """The standby has a usable copy of the run's slot."""
        copies = (
            "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary AND invalidation_reason IS NULL"
        )
        eventually(lambda: self.standby.run_sql(copies).strip() == str(slots), 60, "the slot is on the standby")

    def fail_over(self) -> None:
        """The primary is lost at once; the standby is promoted with what it has, and the address leads to it."""
        self.pair.source.kill()
        self.standby.run_sql("SELECT pg_promote(true, 30);")
        self.services.lead(self.standby.port)
        self.pair.source = self.standby


@contextmanager
def twins(runtime: Runtime, pair: Pair) -> Iterator[Twins]:
    """Give the pair's source, which nobody uses yet, a standby."""
    primary = pair.source
    primary.run_sql(f"SELECT pg_create_physical_replication_slot('{SLOT}', true);")
    primary.stop()
    ours, theirs = (runtime.directory / f"postgres-{pair.name}-{side}" for side in ("primary", "standby"))
    shutil.copytree(ours, theirs)
    for place in (theirs, *theirs.rglob("*")):
        status = (ours / place.relative_to(theirs)).stat()
        shutil.os.chown(place, status.st_uid, status.st_gid)  # type: ignore[attr-defined]
    (theirs / "cluster" / "standby.signal").touch()
    (theirs / "cluster" / "postmaster.pid").unlink(missing_ok=True)
    primary.start()
    with proxied(primary.port) as services, proxied(primary.port) as replication:
        login = f"host={LOOPBACK} port={replication.port} user={SUPERUSER} password={primary.password} dbname=postgres"
        settings = {
            "primary_conninfo": login, "primary_slot_name": SLOT, "hot_standby_feedback": "on", "sync_replication_slots": "on",
        }  # fmt: skip
        standby = EmbeddedPostgres(
            theirs, name="PostgreSQL (standby)", supervisor=runtime.supervisor, fsync=False, settings=settings
        )
        standby.start()
        try:
            behind = Behind(pair.name, primary, pair.destination, pair.password, services, "source")
            yield Twins(behind, standby, services, replication)
        finally:
            standby.stop()
