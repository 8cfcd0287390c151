"""Reference page of the job file, from its models: ``python -m tailrace_shared.job.reference > docs/job-reference.md``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tailrace_shared.generators import GENERATORS
from tailrace_shared.job.drawing import Combinations, Draw, Seeds
from tailrace_shared.job.schema import json_schema
from tailrace_shared.job.spec import Destination, EventSequence, Job, Limits, Source, TableRule, Train, Verification

EXAMPLE: Final = """\
```yaml
# yaml-language-server: $schema=job.schema.json
name: shop-to-staging
source:
  url: ${SOURCE_URL}
destination:
  url: ${STAGING_URL}
  mode: truncate
policy: halt
tables:
  public.customer:
    columns:
      id: key
      email: mock.email
      phone: {generator: mock.phone, locale: de_DE}
      born: {generator: mask.date, days: 60}
      vip: duplicate
  public.country: {mode: duplicate}
  "public.log_*": {mode: exclude}
```
"""

POLICIES: Final = """\
## Columns without a rule

Nothing is carried because somebody forgot it. A column without a rule follows the table's policy, else the job's:

| policy | what happens |
|---|---|
| `halt` | The plan is refused and names the column. |
| `mask` | The column gets the mask of its type, see below. |
| `null` | The column becomes NULL; where it is NOT NULL, the plan is refused. |
| `pass` | The column is carried as it is. |

Under `mask`, text gets `mask.text`; integers, numerics and floats `mask.number`; dates and times `mask.date`; uuids `key`.
Columns of primary keys, unique indexes and foreign keys get `key` where their type has one. Every other type (boolean, enum,
json, bytea, arrays, intervals, …) has no mask and becomes NULL; where NULL cannot be, the plan is refused and asks for `constant`
or `duplicate`.

Columns that a foreign key ties together share one rule and one value domain: give it to the referenced column, and the others
follow. Two different rules in one domain are refused. A foreign key column alone may have the rule `null`.

Generated columns of the destination are never written and take no rule. A column that the destination is partitioned by, in ranges
or lists without a DEFAULT partition, must be `duplicate`: a mask may leave the partitions that there are.
"""

PATTERNS: Final = """\
Keys of `tables` are `schema.table`, as the source spells them. `*` stands for any characters; an exact name wins over patterns, and
among patterns the first in the file. A key without `*` that names no table is refused. Tables of an extension are left alone.
Foreign tables are passed over, and refused by name.

Views and materialised views are passed over by patterns and `default_mode`, and carried where an entry names them exactly: into a
table of the same name. SELECT on the view is all that the source's role needs. A view is read in the order of its declared `key`,
which is counted when the run is planned, else in the order of its whole rows' text; it is evaluated anew for every 64 MB
(`limits.range_bytes_max`) of it. Its rows must not depend on the moment of reading: `now()` or `random()` in its definition stop
the plan. If the view, or a table below it, is replaced while the run reads, the run starts another attempt. A materialised view is
read like a table, and a refresh of it meanwhile starts another attempt, too.
"""


def rendered() -> str:
    """The page as the repository keeps it."""
    schema = json_schema()
    parts = [
        "# Job file\n",
        "*Generated from the models by `python -m tailrace_shared.job.reference`.* "
        "The [JSON Schema](job.schema.json) lets editors complete and check a job.\n",
        EXAMPLE,
        "URLs and secrets are never in the file: `${NAME}` names an environment variable, or a file that `NAME_FILE` names.\n",
        "## The job\n",
        *_fields(Job, schema["properties"], schema["$defs"]),
    ]
    for title, model in (
        ("source", Source),
        ("destination", Destination),
        ("tables", TableRule),
        ("train", Train),
        ("sequence", EventSequence),
        ("draw", Draw),
        ("draw.among", Combinations),
        ("draw.seeds", Seeds),
        ("verify", Verification),
        ("limits", Limits),
    ):
        definition = schema["$defs"][model.__name__]
        parts += [f"## `{title}`\n", (model.__doc__ or "").strip() + "\n"]
        parts += [PATTERNS] if model is TableRule else []
        parts += _fields(model, definition["properties"], schema["$defs"])
    parts += [POLICIES, "## Generators\n", *_generators(schema["$defs"])]
    return "\n".join(parts)


def _fields(model: type[BaseModel], properties: dict[str, Any], definitions: dict[str, Any]) -> Iterable[str]:
    rows = ["| field | type | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        default = _default(field.default) if field.default_factory is None else "–"
        required = field.is_required()
        told = properties[name].get("description", "")
        if not told and "$ref" in properties[name]:
            told = definitions[properties[name]["$ref"].rpartition("/")[2]].get("description", "")
        rows.append(f"| `{name}` | {_type(properties[name])} | {'**required**' if required else default} | {told} |")
    return ["\n".join(rows) + "\n"]


def _generators(definitions: dict[str, Any]) -> Iterable[str]:
    yield (
        "A rule is a generator's name, or a mapping with `generator` and options. All take `domain`, which names the value domain; "
        "[generators.md](generators.md) says what each keeps.\n"
    )
    rows = ["| generator | options | for | |", "|---|---|---|---|"]
    for name, spec in GENERATORS.items():
        definition = definitions[spec.__name__]
        options = [o for o in spec.model_fields if o not in ("generator", "domain")]
        described = "; ".join(
            f"`{o}` ({_type(definition['properties'][o])}{_with_default(spec, o)}): "
            f"{definition['properties'][o].get('description', '').rstrip('.')}"
            for o in options
        )
        families = "every type" if len(spec.families) > 12 else ", ".join(sorted(spec.families))
        rows.append(f"| `{name}` | {described or '–'} | {families} | {(spec.__doc__ or '').strip()} |")
    yield "\n".join(rows) + "\n"


def _with_default(spec: type[BaseModel], option: str) -> str:
    default = spec.model_fields[option].default
    return "" if default in (None, PydanticUndefined) else f", {_default(default)}"


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "–"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _type(prop: dict[str, Any]) -> str:
    if "$ref" in prop:
        return "mapping"
    if "const" in prop:
        return f"`{prop['const']}`"
    if "enum" in prop:
        return " \\| ".join(f"`{value}`" for value in prop["enum"])
    if "anyOf" in prop:
        kinds = [_type(option) for option in prop["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if prop.get("pattern", "").startswith("^\\$"):
        return "`${NAME}`"
    bounds = [
        f"{sign} {prop[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in prop
    ]
    kind = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` \\| `false`"}
    name = kind.get(prop.get("type", ""), {"array": "list", "object": "mapping"}.get(prop.get("type", ""), "value"))
    return f"{name} {', '.join(bounds)}".strip()


if __name__ == "__main__":
    print(rendered(), end="")
