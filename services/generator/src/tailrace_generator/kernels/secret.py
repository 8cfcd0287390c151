"""The mask secret and the keys that derive from it, one per value domain and purpose."""

from __future__ import annotations

from typing import Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import SecretStr

from tailrace_shared.errors import UsageError
from tailrace_shared.secrets import require_long_secret

SCRYPT_COST = 1 << 15
"""About 0.1 s and 32 MiB, once per process: what one guess at a passphrase costs who knows the fingerprint."""
SALT = b"tailrace mask secret 1"
"""Fixed by design: every replica must derive the same keys from the secret alone."""


class OfDomain(Protocol):
    """What is built from a secret for one domain, such as a permutation with its tables."""

    def __init__(self, secret: MaskSecret, domain: str) -> None: ...


T = TypeVar("T", bound=OfDomain)


class MaskSecret:
    """Root of all masking keys. Equal secrets give equal outputs; it is held by the generator alone."""

    def __init__(self, root: bytes) -> None:
        if len(root) < 32:
            raise UsageError("secret.too-short", "the mask key has less than 32 bytes", "give 32 random bytes")
        self._root = root
        self._shared: WeakValueDictionary[tuple[type, str], OfDomain] = WeakValueDictionary()

    @classmethod
    def of(cls, secret: str | SecretStr) -> MaskSecret:
        """The secret behind a passphrase or a key in text form (scrypt, RFC 7914).

        Raises UsageError when it is too short.
        """
        text = secret if isinstance(secret, str) else secret.get_secret_value()
        require_long_secret(text)
        return cls(Scrypt(salt=SALT, length=32, n=SCRYPT_COST, r=8, p=1).derive(text.encode()))

    def key(self, domain: str, purpose: str) -> bytes:
        """The AES-128 key of a domain for a purpose such as ``text`` (HKDF-Expand with SHA-256, RFC 5869)."""
        return self._derive(f"key\0{purpose}\0{domain}", 16)

    def shared(self, kind: type[T], domain: str) -> T:
        """The one instance of its kind for a domain: all columns of the domain use its tables, so memory stays small."""
        found = self._shared.get((kind, domain))
        if found is None:
            found = self._shared[kind, domain] = kind(self, domain)
        return cast(T, found)

    def fingerprint(self) -> str:
        """32 hexadecimal digits that tell equal secrets from different ones, and nothing else."""
        return self._derive("fingerprint", 16).hex()

    def _derive(self, info: str, length: int) -> bytes:
        return HKDFExpand(SHA256(), length, b"tailrace 1\0" + info.encode()).derive(self._root)

    def __repr__(self) -> str:
        return "MaskSecret(…)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a mask secret is not pickled")
