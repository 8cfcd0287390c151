"""References ``${NAME}`` and how they resolve: only names travel, each service looks up its own environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from tailrace_shared.errors import UsageError

MASK_SECRET_CHARS_MIN: Final = 16
"""Shorter secrets can be guessed; `openssl rand -base64 32` gives 44 characters."""

_REFERENCE = re.compile(r"^\$\{([A-Z][A-Z0-9_]*)\}$")
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]+@")
_PASSWORD = re.compile(r"(?i)\b(password|passwd|pwd|secret|token)=[^\s&;,]+")


def name_of(reference: str) -> str:
    """``NAME`` of ``${NAME}``; raises UsageError for anything else (without echoing it: it may be a secret)."""
    match = _REFERENCE.match(reference)
    if match is None:
        raise UsageError(
            "secret.literal",
            "a URL or secret is written out where a reference is required",
            "Write ${NAME} and put the value into the environment variable NAME or the file that NAME_FILE names.",
        )
    return match[1]


def lookup(name: str, environ: Mapping[str, str]) -> str | None:
    """The value of variable ``name``, else the content of the file that ``name_FILE`` names, else None.

    Raises UsageError for a file that cannot be read or is empty: somebody meant to give a value.
    """
    if value := environ.get(name):
        return value
    if path := environ.get(f"{name}_FILE"):
        return _content(name, path)
    return None


def _content(name: str, path: str) -> str:
    why: str
    try:
        if content := Path(path).read_text("utf-8").rstrip("\r\n"):
            return content
        why = "is empty"
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        why = "is not UTF-8 text"
    raise UsageError(
        "secret.file",
        f"the file that {name}_FILE names {why}",
        f"Check the path, its content, and that this service's user may read it, or set {name} instead.",
    )


def resolve(reference: str, environ: Mapping[str, str] | None = None) -> SecretStr:
    """The value behind ``${NAME}``. Raises UsageError that names the variable when it is not set."""
    name = name_of(reference)
    value = lookup(name, os.environ if environ is None else environ)
    if value is None:
        raise UsageError(
            "secret.missing",
            f"environment variable {name} is not set",
            f"Set {name}, or {name}_FILE to the path of a file.",
        )
    return SecretStr(value)


def require_long_secret(secret: str, name: str = "") -> None:
    """Raise UsageError when a mask secret can be guessed; ``name`` is its variable's, where it is known."""
    if len(secret) < MASK_SECRET_CHARS_MIN:
        named = f" in {name}" if name else ""
        raise UsageError(
            "secret.too-short",
            f"the mask secret{named} has fewer than {MASK_SECRET_CHARS_MIN} characters",
            "Take a random one: openssl rand -base64 32",
        )


def redact(text: str) -> str:
    """Text without credentials of URLs and without ``password=…`` pairs: the last net, not the first."""
    return _PASSWORD.sub(r"\1=***", _CREDENTIALS.sub("***@", text))
