"""Signing a report: HMAC-SHA-256 over one canonical form of its JSON.

The form is that of RFC 8785 for what a report holds (objects, arrays, strings, integers, truth values): keys sorted, no white
space, UTF-8. ``jq -cjS .report`` prints it, so that anybody can check a signature without this program.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from tailrace_shared.errors import UsageError
from tailrace_shared.secrets import lookup

REPORT_KEY: Final = "TAILRACE_REPORT_KEY"
REPORT_KEY_CHARS_MIN: Final = 16
ALGORITHM: Final = "HMAC-SHA-256"
Verdict = Literal["valid", "invalid", "unsigned"]


def report_key(environ: Mapping[str, str]) -> bytes | None:
    """The key of this environment, None where there is none. Raises UsageError for one that can be guessed."""
    key = lookup(REPORT_KEY, environ)
    if key is None:
        return None
    if len(key) < REPORT_KEY_CHARS_MIN:
        raise UsageError(
            "report.key",
            f"{REPORT_KEY} has fewer than {REPORT_KEY_CHARS_MIN} characters",
            "Take a random one: openssl rand -base64 32",
        )
    return key.encode()


def canonical(report: Mapping[str, Any]) -> bytes:
    """The bytes that are signed."""
    return json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sealed(report: dict[str, Any], key: bytes | None) -> dict[str, Any]:
    """The report in its envelope, as it is written to a file."""
    if key is None:
        why = f"{REPORT_KEY} is not set where the report was made"
        return {"report": report, "signed": False, "why_unsigned": why}
    return {"report": report, "signed": True, "algorithm": ALGORITHM, "signature": _signature(report, key)}


def prove(envelope: Mapping[str, Any], key: bytes | None) -> Verdict:
    """Whether the report is what the holder of the key has signed.

    Raises UsageError where a signature is there and no key to prove it with, and for what is no report.
    """
    report = envelope.get("report")
    if not isinstance(report, dict) or not isinstance(envelope.get("signed"), bool):
        raise UsageError("report.format", "this is no report of Tailrace", "Name a file that `verify --report` wrote.")
    if not envelope["signed"]:
        return "unsigned"
    if key is None:
        raise UsageError(
            "report.key",
            f"the report is signed, and {REPORT_KEY} is not set to prove it",
            f"Set {REPORT_KEY}, or {REPORT_KEY}_FILE to the path of a file.",
        )
    given = envelope.get("signature")
    same = isinstance(given, str) and hmac.compare_digest(given.encode(), _signature(report, key).encode())
    return "valid" if same and envelope.get("algorithm") == ALGORITHM else "invalid"


def _signature(report: Mapping[str, Any], key: bytes) -> str:
    return hmac.new(key, canonical(report), hashlib.sha256).hexdigest()
