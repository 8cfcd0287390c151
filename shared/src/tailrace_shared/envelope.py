"""Encryption of what travels in clear otherwise: raw batches under a run's data key, and that key under the transport key.

AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces; a run stays far below the 2³² messages that one key may seal. Every
ciphertext is bound to what it is: batches to their headers, wrapped keys and sealed text to a context and to their kind.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from tailrace_shared.errors import TerminalError, UsageError

Octets: TypeAlias = bytes | bytearray | memoryview
"""Anything contiguous that holds bytes; memoryviews of format ``B``."""

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
"""What sealing adds to a batch."""
MIN_SECRET_CHARACTERS = 16
"""Below that a transport key can be guessed offline by whoever reads the topics."""
VARIABLE = "TAILRACE_TRANSPORT_KEY"
_VERSION = "v1."


class DataCipher:
    """Seals the batches of a run under its data key."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a data key has {KEY_BYTES} bytes")
        self._cipher = AESGCM(key)

    @staticmethod
    def new_key() -> bytes:
        """A fresh data key."""
        return os.urandom(KEY_BYTES)

    def seal(self, data: Octets, aad: bytes) -> bytearray:
        """``nonce ‖ ciphertext ‖ tag``, written once, in place."""
        sealed = bytearray(len(data) + OVERHEAD_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        sealed[:NONCE_BYTES] = nonce
        self._cipher.encrypt_into(nonce, data, aad, memoryview(sealed)[NONCE_BYTES:])
        return sealed

    def open(self, data: Octets, aad: bytes) -> bytes:
        """The plaintext. Raises TerminalError (``batch.sealed``) if data, headers or key are not the ones of the sealing."""
        if len(data) >= OVERHEAD_BYTES:
            view = memoryview(data)
            try:
                return self._cipher.decrypt(bytes(view[:NONCE_BYTES]), view[NONCE_BYTES:], aad)
            except InvalidTag:
                pass
        raise TerminalError(
            "batch.sealed",
            "an encrypted batch does not open: its bytes, its headers or the run's data key are not the ones it was made with",
            "Let nothing but Tailrace write to its topics; if nothing does, the broker's storage is damaged.",
        )


class TransportKey:
    """The secret that reader, generator and trainer share and the writer does not hold."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def of(cls, secret: SecretStr | str) -> TransportKey:
        """From the configured secret, through HKDF-SHA256 (RFC 5869). Raises UsageError if it is too short."""
        text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        if len(text) < MIN_SECRET_CHARACTERS:
            raise UsageError(
                "transport-key.short",
                f"the transport key in {VARIABLE} has fewer than {MIN_SECRET_CHARACTERS} characters",
                f"Set {VARIABLE} (or {VARIABLE}_FILE) to a long random text, for example of `openssl rand -base64 32`.",
            )
        return cls(HKDF(SHA256(), KEY_BYTES, salt=None, info=b"tailrace transport key v1").derive(text.encode()))

    def wrap(self, data_key: bytes, context: str) -> str:
        """A data key as text that may travel; ``context`` is the run."""
        return self._close("wrap", data_key, context)

    def unwrap(self, wrapped: str, context: str) -> bytes:
        """The data key. Raises TerminalError (``transport-key.wrong``)."""
        key = self._open("wrap", wrapped, context)
        if len(key) != KEY_BYTES:
            raise _wrong()
        return key

    def seal(self, text: str, context: str) -> str:
        """A text that holds values, encrypted for ``Plan.sealed``."""
        return self._close("seal", text.encode(), context)

    def open(self, sealed: str, context: str) -> str:
        """The text. Raises TerminalError (``transport-key.wrong``)."""
        return self._open("seal", sealed, context).decode()

    def _close(self, kind: str, data: bytes, context: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, data, f"{kind}\0{context}".encode())
        return _VERSION + base64.urlsafe_b64encode(sealed).decode("ascii")

    def _open(self, kind: str, text: str, context: str) -> bytes:
        try:
            if not text.startswith(_VERSION):
                raise ValueError
            sealed = base64.b64decode(text.removeprefix(_VERSION), altchars=b"-_", validate=True)
            if len(sealed) < OVERHEAD_BYTES:
                raise ValueError
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], f"{kind}\0{context}".encode())
        except (InvalidTag, ValueError, binascii.Error):
            raise _wrong() from None


def _wrong() -> TerminalError:
    return TerminalError(
        "transport-key.wrong",
        "what another service encrypted cannot be opened with this service's transport key",
        f"Give reader, generator and trainer the same {VARIABLE}.",
    )
