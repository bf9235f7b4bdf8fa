"""The reference page of the FeedSet file, generated from the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .loader import MAX_DOCUMENT_BYTES
from .model import API_GROUP, API_VERSION, KIND
from .schema import BOUNDS, spec_schema

_HEAD = f"""# FeedSet reference

`apiVersion: {API_GROUP}/{API_VERSION}`, `kind: {KIND}`.
Generated from the model by `make generate`; edit the model instead.

- A FeedSet is one YAML or JSON document of at most {MAX_DOCUMENT_BYTES // 1024} KiB.
- Unknown and repeated keys are refused; a key without a value counts as absent.
- `metadata.name` is a DNS label of at most 30 characters.
- A duration is a whole number and one of `ms s m h d`; a size is a whole number and one of `Ki Mi Gi Ti`.
- Exchanges, feeds and symbols are spelled as in the data, so that what is selected is what is queried.
- On Kubernetes `spec.exchanges[].name` is required.

| Field | Type | Default | Accepted | Meaning |
|---|---|---|---|---|
"""


def render_reference() -> str:
    """Markdown: one row per field, in the order of the file."""
    return _HEAD + "\n".join(_rows("spec", spec_schema(), is_required=True)) + "\n"


def _rows(path: str, node: dict[str, Any], is_required: bool) -> Iterator[str]:
    cells = (f"`{path}`", _kind(node), _default(node, is_required), _accepted(node), node.get("description", ""))
    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    inner, prefix = (node["items"], f"{path}[]") if node.get("type") == "array" else (node, path)
    required = set(inner.get("required", ()))
    for key, child in inner.get("properties", {}).items():
        yield from _rows(f"{prefix}.{key}", child, key in required)


def _kind(node: dict[str, Any]) -> str:
    if BOUNDS in node:
        return str(node[BOUNDS]["kind"])
    if node.get("type") == "array":
        return f"list of {_kind(node['items'])}"
    if "enum" in node:
        return "choice"
    return {"string": "text", "integer": "number", "boolean": "true or false", "object": "mapping"}[node["type"]]


def _default(node: dict[str, Any], is_required: bool) -> str:
    if is_required:
        return "required"
    default = node.get("default")
    if default is None or default == [] or isinstance(default, dict):  # what a mapping holds has its own rows
        return ""
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _accepted(node: dict[str, Any]) -> str:
    if BOUNDS in node:
        return f"{node[BOUNDS]['least']} to {node[BOUNDS]['most']}"
    if node.get("type") == "array":
        length = _range(node.get("minItems", 0), node["maxItems"], "items")
        inner = _accepted(node["items"])
        return f"{length}; {inner}" if inner else length
    if "enum" in node:
        return " ".join(f"`{value}`" for value in node["enum"])
    if "minimum" in node:
        return f"{node['minimum']} to {node['maximum']}"
    if "pattern" in node:
        return f"`{node['pattern']}`, up to {node['maxLength']} characters"
    return f"up to {node['maxProperties']} keys" if "maxProperties" in node else ""


def _range(least: int, most: int, noun: str) -> str:
    return f"up to {most} {noun}" if least == 0 else f"{least} to {most} {noun}"
