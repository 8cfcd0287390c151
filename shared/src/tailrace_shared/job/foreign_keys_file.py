"""Foreign keys that a job imports: a JSON file beside it, so that another tool can write it. Its path does not travel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job, VirtualForeignKey

FILE_BYTES_MAX: Final = 16 << 20
_KEYS: TypeAdapter[tuple[VirtualForeignKey, ...]] = TypeAdapter(tuple[VirtualForeignKey, ...])
_FORM: Final = (
    'Write a list such as [{"table": "public.note", "columns": ["owner"], "references": "public.person"}]; '
    "docs/job-reference.md explains the fields."
)


def with_imported_keys(job: Job, folder: Path) -> Job:
    """The job with the keys of its file beside its own, and without the file's path.

    Raises UsageError (``job.foreign-keys-file``) that names the file, entry and field, never what stands there.
    """
    if job.foreign_keys_file is None:
        return job
    path = folder / job.foreign_keys_file
    keys = (*job.foreign_keys, *_read(path))
    return job.model_copy(update={"foreign_keys": keys, "foreign_keys_file": None})


def _read(path: Path) -> tuple[VirtualForeignKey, ...]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise _refused(f"{path} is too large for a list of foreign keys", _FORM)
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise _refused(
            f"there is no file {path}", "Check foreign_keys_file: it is looked for beside the job."
        ) from None
    except json.JSONDecodeError as error:
        raise _refused(f"{path}:{error.lineno}: not valid JSON: {error.msg}", _FORM) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON in UTF-8"
        raise _refused(f"{path} cannot be read: {why}", _FORM) from None
    try:
        return _KEYS.validate_python(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise _refused("\n".join(dict.fromkeys(_line(path, entry) for entry in found)), _FORM) from None


def _line(path: Path, error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    said = {"extra_forbidden": "there is no such field", "missing": "is missing"}.get(error["type"], error["msg"])
    return f"{path}: {place.lstrip('.') or 'the file'}: {said}"


def _refused(message: str, remedy: str) -> UsageError:
    return UsageError("job.foreign-keys-file", message, remedy)
