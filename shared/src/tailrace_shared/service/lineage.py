"""The plans of one attempt: the one that it began with, and the revisions that records and batches may name as well."""

from __future__ import annotations

from tailrace_shared.batch import head_of
from tailrace_shared.dataplane.pump import Delivery
from tailrace_shared.errors import TailraceError
from tailrace_shared.kafka import Kafka
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.plans import Plans


class Lineage:
    """Finds the plan that a record was made by. Everything that is not of this attempt is nobody's: its key is another one."""

    def __init__(self, kafka: Kafka, namespace: str, plan: Plan, digest: str) -> None:
        self._first = plan
        self._plans = Plans(kafka, namespace)
        self._known: dict[str, Plan | None] = {digest: plan}

    def known(self, digest: str) -> Plan | None:
        """The plan, where it was fetched before; None also for one of another attempt."""
        return self._known.get(digest)

    async def of(self, digest: str) -> Plan | None:
        """The plan of that digest; None where it is of another attempt. Raises TransientError while it is not on the topic."""
        if digest not in self._known:
            plan = await self._plans.fetch(self._first.run, digest)
            same = (plan.run, plan.attempt, plan.key.id) == (self._first.run, self._first.attempt, self._first.key.id)
            self._known[digest] = plan if same and plan.continuous is not None else None
        return self._known[digest]

    def resync_of(self, delivery: Delivery | None) -> int:
        """Number of the resync that a batch belongs to; 0: it belongs to none."""
        if delivery is None:
            return 0
        try:
            plan = self._known.get(head_of(delivery.headers).plan)
        except TailraceError:
            return 0
        return 0 if plan is None else plan.revision
