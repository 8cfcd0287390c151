"""From a job file's rule to a spec, with errors that name what exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tailrace_shared.errors import UsageError
from tailrace_shared.generators.base import GeneratorSpec
from tailrace_shared.generators.registry import GENERATORS
from tailrace_shared.generators.suggest import suggest


def parse_rule(value: str | Mapping[str, Any] | None) -> GeneratorSpec:
    """A rule as YAML gives it: a generator's name, or a mapping with ``generator`` and its options.

    Raises UsageError for an unknown generator or option, or an option with a wrong value; it never repeats the value.
    """
    if value is None:
        value = "null"
    options = {"generator": value} if isinstance(value, str) else dict(value)
    name = options.get("generator")
    if not isinstance(name, str):
        raise UsageError("job.rule", "a rule has no generator", f"give generator: one of {', '.join(GENERATORS)}")
    spec = GENERATORS.get(name)
    if spec is None:
        raise UsageError("job.unknown-generator", f"there is no generator {name}", suggest(name, GENERATORS))
    try:
        return spec.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _option_error(name, spec, first["type"], first["loc"], first["msg"]) from None


def _option_error(
    name: str, spec: type[GeneratorSpec], kind: str, where: tuple[int | str, ...], message: str
) -> UsageError:
    options = {option: field for option, field in spec.model_fields.items() if option != "generator"}
    option = str(where[0]) if where else ""
    if kind == "extra_forbidden":
        return UsageError("job.unknown-option", f"{name} has no option {option}", suggest(option, options))
    if kind == "missing":
        return UsageError("job.missing-option", f"{name} needs the option {option}", f"write {{generator: {name}, …}}")
    subject = f"option {option} of {name}" if option else name
    return UsageError("job.option", f"{subject}: {message}", f"options of {name}: {', '.join(options)}")
