"""JSON Schema of the job file, from its models: ``python -m tailrace_shared.job.schema > docs/job.schema.json``."""

from __future__ import annotations

import json
from typing import Any

from tailrace_shared.job.spec import Job


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) that editors complete and check a job by."""
    found = Job.model_json_schema(by_alias=True)
    # `null` is a generator and a policy here, and an editor's YAML reads it as no value.
    rules = found["$defs"]["TableRule"]["properties"]["columns"]["additionalProperties"]
    rules.setdefault("anyOf", []).append({"type": "null"})
    policy = found["properties"]["policy"]
    policy["anyOf"] = [{"type": policy.pop("type"), "enum": policy.pop("enum")}, {"type": "null"}]
    for definition in found["$defs"].values():
        if "generator" in definition["properties"]:
            definition["required"] = ["generator", *definition.get("required", [])]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "Tailrace job",
    }


def rendered() -> str:
    """The schema as the repository keeps it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(rendered(), end="")
