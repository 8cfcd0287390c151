"""Reads a job file: YAML with places kept, validated by the models, all errors at once with file, line and path.

No error repeats a value of the file: somebody may have written a password where a name belongs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tailrace_shared.errors import UsageError
from tailrace_shared.generators import GENERATORS
from tailrace_shared.generators.suggest import suggest
from tailrace_shared.job.fields import fields_at
from tailrace_shared.job.foreign_keys_file import with_imported_keys
from tailrace_shared.job.places import Key, Places, read_quickly, read_yaml
from tailrace_shared.job.spec import Job

FILE_BYTES_MAX: Final = 4 << 20
"""A job file is written by people; anything larger is the wrong file."""

_MESSAGES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "literal_error": "must be {expected}",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping of fields",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "model_attributes_type": "must be a generator's name or a mapping with `generator`",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "union_tag_not_found": "names no generator",
}
REFERENCE_REMEDY: Final = "docs/job-reference.md explains every field; `tailrace schema` lets editors complete them."
_REFERENCE: Final = (
    "holds a literal where the name of a variable belongs: write ${NAME}, and put the value into the environment "
    "variable NAME or into a file that NAME_FILE names"
)


def load_job(path: Path | str) -> Job:
    """The job in a file. Raises UsageError with one line per error, ``file:line: path: message``."""
    file = Path(path)
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise UsageError("job.file", f"{path} is too large for a job file", "Name a YAML job file.")
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(
            "job.file", f"there is no file {path}", "Check the path; `tailrace demo` shows a job."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "job.file", f"{path} cannot be read: {_why(error)}", "Name a YAML job file in UTF-8."
        ) from None
    return with_imported_keys(parse_job(text, str(path)), file.parent)


def parse_job(text: str, name: str = "job.yaml") -> Job:
    """The job in a YAML text; ``name`` stands for the file in messages. Raises UsageError as ``load_job``."""
    quick = read_quickly(text)
    if isinstance(quick, dict):
        with suppress(ValidationError):  # its words need the places
            return Job.model_validate(quick)
    document, places, duplicates = read_yaml(text, name)
    lines = [f"{name}:{line}: {path}: is given twice; keep one" for line, path in duplicates]
    if not isinstance(document, dict):
        raise UsageError(
            "job.invalid",
            f"{name}:1: a job is a mapping of fields, such as name, source, destination",
            REFERENCE_REMEDY,
        )
    try:
        job = Job.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        lines += [_line(name, places, entry) for entry in found]
        lines.sort(key=lambda text: int(text.removeprefix(f"{name}:").partition(":")[0]))
    else:
        if not lines:
            return job
    raise UsageError("job.invalid", "\n".join(dict.fromkeys(lines)), REFERENCE_REMEDY)


def _why(error: Exception) -> str:
    return (error.strerror or "it cannot be opened") if isinstance(error, OSError) else "it is not UTF-8 text"


def _line(name: str, places: Places, error: Any) -> str:
    kind: str = error["type"]
    location: tuple[Key, ...] = error["loc"]
    path = _own_path(location)
    line = places.line(path[:-1] if kind == "missing" else path)
    return f"{name}:{line}: {shown(path)}: {_message(kind, error, location)}"


def _own_path(location: tuple[Key, ...]) -> tuple[Key, ...]:
    """The file's path of an error: pydantic adds the generator's name where it has chosen a spec by it."""
    path = list(location)
    if len(path) >= 5 and path[0] == "tables" and path[2] == "columns" and path[4] in GENERATORS:
        del path[4]
    return tuple(path)


def _message(kind: str, error: Any, location: tuple[Key, ...]) -> str:
    context = error.get("ctx") or {}
    last = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        known = fields_at(Job, location[:-1])
        return f"there is no such field — {suggest(last, known)}" if known else "there is no such field"
    if kind == "string_pattern_mismatch":
        if last in ("url", "secret") or location[:2] == ("verify", "canaries"):
            return _REFERENCE
        return "must be lower-case letters, digits and dashes, beginning with a letter"
    if kind == "value_error":  # our own validators speak for themselves and repeat no value but a generator's name
        return str(context.get("error") or error["msg"])
    if kind in _MESSAGES:
        return _MESSAGES[kind].format(**context)
    return str(error["msg"])


def shown(path: tuple[Key, ...]) -> str:
    """A path in words: ``tables.public.customer.columns.email`` with quotes where a part has a dot."""
    parts = [f'"{part}"' if isinstance(part, str) and "." in part else str(part) for part in path]
    return ".".join(parts) or "the file"
