"""The model as one tree of JSON schema, as the CRD and the reference page need it: references inlined, values as they
are written.
"""

from __future__ import annotations

from typing import Any

from .model import FeedSetSpec
from .units import format_duration, format_size

BOUNDS = "x-feedplane-bounds"
"""Marks a duration or size and carries its bounds, which plain schema cannot say of text."""

_DROPPED = ("title", "additionalProperties", "patternProperties", "propertyNames", "uniqueItems")
_DERIVED_DEFAULTS = {"name"}  # of an entry: it follows `exchange`, so no constant stands for it
_WRITERS = {"duration": format_duration, "size": format_size}


def spec_schema() -> dict[str, Any]:
    """Schema of `spec`. An optional object's default is written out: the API server tries its rules on it as is."""
    root = FeedSetSpec.model_json_schema(by_alias=True)
    return _inlined(root, root.get("$defs", {}))


def _inlined(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = _dereferenced(node, definitions)
    schema = {key: value for key, value in node.items() if key not in (*_DROPPED, "$defs", "properties", "items")}
    for values in node.get("patternProperties", {}).values():
        schema["additionalProperties"] = _inlined(values, definitions)  # a CRD cannot say what the keys look like
    if "properties" in node:
        required = set(node.get("required", ()))
        schema["properties"] = {
            key: _property(key, child, key in required, definitions) for key, child in node["properties"].items()
        }
    if "items" in node:
        schema["items"] = _inlined(node["items"], definitions)
    return schema


def _dereferenced(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """What stands beside a reference (the field's own description) wins over what it refers to."""
    while "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = target | {key: value for key, value in node.items() if key != "$ref"}
    return node


def _property(key: str, node: dict[str, Any], is_required: bool, definitions: dict[str, Any]) -> dict[str, Any]:
    is_nullable = "anyOf" in node
    if is_nullable:
        present = next(option for option in node["anyOf"] if option.get("type") != "null")
        node = present | {name: value for name, value in node.items() if name not in ("anyOf", "default")}
    schema = _inlined(node, definitions)
    if key in _DERIVED_DEFAULTS:
        schema.pop("default", None)
    if "default" in schema and BOUNDS in schema:
        schema["default"] = _WRITERS[schema[BOUNDS]["kind"]](schema["default"])
    if schema.get("type") == "object" and not is_required and not is_nullable:
        schema.setdefault("default", _defaults_inside(schema))
    return schema


def _defaults_inside(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: child["default"] for key, child in schema.get("properties", {}).items() if "default" in child}
