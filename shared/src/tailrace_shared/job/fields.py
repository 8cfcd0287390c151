"""Names that may stand at a path of the job, for *did you mean*."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel

from tailrace_shared.generators import GENERATORS


def fields_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The fields that the model knows at the path; empty where any name may stand. A generator's name leads to its options."""
    here: Any = model
    for step in path:
        if isinstance(step, str) and step in GENERATORS and not _is_model(here):
            here = GENERATORS[step]
        elif _is_model(here) and step in here.model_fields:
            here = _inner(here.model_fields[step].annotation)
        elif get_origin(here) is dict:
            here = _inner(get_args(here)[1])
        else:
            return []
    return list(here.model_fields) if _is_model(here) else []


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _inner(annotation: Any) -> Any:
    """The type without Optional."""
    options = [a for a in get_args(annotation) if a is not type(None)]
    return options[0] if options and get_origin(annotation) is not dict and len(options) == 1 else annotation
