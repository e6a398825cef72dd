"""The form of a record on disk does not change: its JSON Schema and Arrow schema equal the stored copies in `published/`."""

import json
from pathlib import Path
from typing import Any

from labelgen.data.record import arrow_schema, json_schema

PUBLISHED = Path(__file__).parent / "published"


def structure(schema: dict[str, Any]) -> Any:
    """Names, types, required fields, defaults and enums; references are resolved, so names of Python classes do not count."""

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return resolve(schema["$defs"][node["$ref"].rpartition("/")[2]])
        out = {key: resolve(value) for key, value in node.items() if key not in ("title", "description", "properties")}
        if "properties" in node:
            out["properties"] = {name: resolve(value) for name, value in node["properties"].items()}
        return out

    return resolve({"$ref": schema["$ref"]})


def test_json_schema_equals_the_stored_copy():
    stored = json.loads((PUBLISHED / "record.json").read_text(encoding="utf-8"))
    assert structure(json.loads(json.dumps(json_schema()))) == stored


def test_arrow_schema_equals_the_stored_copy():
    stored = (PUBLISHED / "record.arrow.txt").read_text(encoding="utf-8")
    assert arrow_schema().to_string(truncate_metadata=False) + "\n" == stored
