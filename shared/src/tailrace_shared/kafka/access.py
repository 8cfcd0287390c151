"""Access lists and SCRAM users, as an administrator of the cluster sets them. Services have no right to any of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka import errors as kafka
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from tailrace_shared.kafka.admin import Admin
from tailrace_shared.kafka.scram import SHA_512, AlterScramRequest, Credential
from tailrace_shared.rights import Operation, Resource, Right

ANY_HOST: Final = "*"
_ANY, _ALLOW = 1, 3
_LITERAL, _PREFIXED = 3, 4
_RESOURCES: Final[dict[Resource, int]] = {"topic": 2, "group": 3}
_OPERATIONS: Final[dict[Operation, int]] = {
    "Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Describe": 8, "DescribeConfigs": 10,
}  # fmt: skip
"""Codes of the protocol: https://kafka.apache.org/protocol, AclOperation and ResourceType of the Java client."""
ITERATIONS: Final = 8192
"""Of PBKDF2. Kafka asks for 4096 at least and 16384 at most; passwords here are random, so that guessing is no matter of these."""


@dataclass(frozen=True)
class Grants:
    """What has been done for one principal."""

    principal: str
    made: tuple[Right, ...]
    removed: int
    """Entries of this namespace that it had and shall not have."""


class Access(Admin):
    """An administration client for access lists. Raises as ``Admin`` does; ``kafka.forbidden`` where we are no administrator."""

    async def grant(self, principal: str, rights: Iterable[Right], namespace: str) -> Grants:
        """Give a principal these rights in the namespace and no others. Repeated, nothing changes.

        New rights are made before surplus ones are removed, so that a service that runs misses none in between.
        """
        wanted = {_entry(right): right for right in rights}
        there = await self._entries(principal)
        missing = [right for entry, right in wanted.items() if entry not in there]
        for right in missing:
            doing = f"granting {principal} {right.operation} on {right.name}"
            await self._persist(doing, partial(self._create, principal, right))
        surplus = [e for e in there if e not in wanted and e[1].startswith(f"{namespace}.")]
        for entry in surplus:
            await self._persist(f"taking a right from {principal}", partial(self._delete, principal, entry))
        return Grants(principal, tuple(missing), len(surplus))

    async def set_password(self, user: str, password: str) -> None:
        """Make a SCRAM-SHA-512 user, or give it another password. Connections that are open stay; new ones need the new one."""
        salt = os.urandom(32)
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
        await self._persist(
            f"setting the password of {user}", lambda: self._alter(Credential(user, SHA_512, ITERATIONS, salt, salted))
        )

    async def _alter(self, credential: Credential) -> None:
        response = await self._client._send_to_controller(AlterScramRequest(credential))
        for _, code, _, _ in response.results:
            _check(code)

    async def _entries(self, principal: str) -> set[tuple[int, str, int, int]]:
        """(resource, name, pattern, operation) of everything that the principal is allowed from any host."""

        async def describe() -> set[tuple[int, str, int, int]]:
            response = await self._client._send_request(
                DescribeAclsRequest(_ANY, None, _ANY, principal, ANY_HOST, _ANY, _ALLOW)
            )
            _check(response.error_code)
            return {
                (kind, name, pattern, operation)
                for kind, name, pattern, entries in response.resources
                for _, _, operation, _ in entries
            }

        return await self._persist(f"reading the rights of {principal}", describe)

    async def _create(self, principal: str, right: Right) -> None:
        kind, name, pattern, operation = _entry(right)
        response = await self._client._send_to_controller(
            CreateAclsRequest(kind, name, pattern, principal, ANY_HOST, operation, _ALLOW)
        )
        for code, _ in response.creation_responses:
            _check(code)

    async def _delete(self, principal: str, entry: tuple[int, str, int, int]) -> None:
        kind, name, pattern, operation = entry
        response = await self._client._send_to_controller(
            DeleteAclsRequest(kind, name, pattern, principal, ANY_HOST, operation, _ALLOW)
        )
        for code, _, _ in response.filter_responses:
            _check(code)


def _entry(right: Right) -> tuple[int, str, int, int]:
    pattern = _PREFIXED if right.prefixed else _LITERAL
    return _RESOURCES[right.resource], right.name, pattern, _OPERATIONS[right.operation]


def _check(code: int) -> None:
    if code:
        raise kafka.for_code(code)()
