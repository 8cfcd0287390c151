"""AlterUserScramCredentials, version 0: a request that aiokafka does not have.

https://kafka.apache.org/protocol#The_Messages_AlterUserScramCredentials, KIP-554. The broker is given a salted hash, no password.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactBytes, CompactString, Int8, Int16, Int32, Schema, TaggedFields

SHA_512: Final = 2
"""SCRAM-SHA-512 among the protocol's mechanisms."""
_API_KEY: Final = 51


@dataclass(frozen=True, repr=False)
class Credential:
    """What a broker keeps of a user."""

    user: str
    mechanism: int
    iterations: int
    salt: bytes
    salted: bytes
    """PBKDF2 of the password (RFC 5802, SaltedPassword)."""


class AlterScramResponse_v0(Response):  # type: ignore[misc]
    """Per user an error code."""

    API_KEY = _API_KEY
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterScramRequest_v0(RequestStruct):  # type: ignore[misc]
    """Users to forget, and users to set."""

    FLEXIBLE_VERSION = True
    API_KEY = _API_KEY
    API_VERSION = 0
    RESPONSE_TYPE = AlterScramResponse_v0
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterScramRequest(Request[AlterScramRequest_v0]):  # type: ignore[misc]
    """Set one user's credential."""

    API_KEY = _API_KEY

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def build(self, request_struct_class: type[AlterScramRequest_v0]) -> AlterScramRequest_v0:
        """The request as bytes are made of it."""
        c = self._credential
        return request_struct_class([], [(c.user, c.mechanism, c.iterations, c.salt, c.salted, {})], {})
