"""Pydantic's findings in the words of the file: path, reason, nearest right spelling."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .loader import Path
from .model import FeedSet
from .suggest import nearest

Finding = tuple[Path, str, str | None]

_EXPECTED = {
    "string_type": "expected text (quote it if it looks like a number or a yes/no)",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "model_type": "expected a mapping",
    "dict_type": "expected a mapping",
    "tuple_type": "expected a list",
    "missing": "is required",
}


def explain(error: ValidationError) -> list[Finding]:
    """Path, message and suggestion of each finding."""
    return [_finding(detail) for detail in error.errors(include_url=False) if not _is_echo(detail)]


def _is_echo(detail: ErrorDetails) -> bool:
    """A list counts as too short when its items were refused; they have been told already."""
    context: Mapping[str, Any] = detail.get("ctx") or {}
    return (
        detail["type"] == "too_short"
        and isinstance(detail["input"], list)
        and len(detail["input"]) >= context["min_length"]
    )


def _finding(detail: ErrorDetails) -> Finding:
    path = _path(detail)
    context: Mapping[str, Any] = detail.get("ctx") or {}
    match detail["type"]:
        case "extra_forbidden":
            return _unknown_key(path)
        case "enum" | "literal_error":
            return _not_a_choice(path, detail["input"])
        case "model_type" | "dict_type" if path and path[-1] == "symbols" and isinstance(detail["input"], list):
            listed = ", ".join(str(item) for item in detail["input"][:8])
            return path, "expected a mapping with include or discovery keys, got a list", f"{{include: [{listed}]}}"
        case kind if kind in _EXPECTED:
            return path, _EXPECTED[kind] + _got(kind, detail["input"]), None
        case "string_pattern_mismatch":
            return (
                path,
                _pattern_message(path, detail["input"]),
                _label(detail["input"]) if path[-1] == "name" else None,
            )
        case "greater_than_equal" | "less_than_equal":
            return path, _bounds_message(path), _nearest_bound(context)
        case "too_short" | "too_long" | "string_too_long":
            return (
                path,
                detail["msg"]
                .replace("Tuple", "the list")
                .replace("Dictionary", "the mapping")
                .replace("String", "text"),
                None,
            )
        case _:
            return path, detail["msg"], context.get("suggestion")


def _path(detail: ErrorDetails) -> Path:
    """Where it is in the file: pydantic's location plus the index or key a validator named."""
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    context: Mapping[str, Any] = detail.get("ctx") or {}
    if isinstance(context.get("index"), int):
        path = (*path, context["index"])
    if isinstance(context.get("key"), str):
        path = (*path, *(int(part) if part.isdigit() else part for part in context["key"].split(".")))
    return path


def _got(kind: str, value: Any) -> str:
    if kind == "missing":
        return ""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", int: "a number", float: "a number"}
    return f", got {names.get(type(value), type(value).__name__)}"


def _unknown_key(path: Path) -> Finding:
    key = str(path[-1])
    if path[-2:] == ("symbols", "discovery"):
        return path, "unknown key; quotes, maxSymbols and refresh stand under symbols itself", None
    keys = _keys_at(path[:-1])
    return path, f"unknown key; there are {', '.join(keys)}", nearest(key, keys)


def _not_a_choice(path: Path, value: Any) -> Finding:
    choices = _choices_at(path)
    suggestion = choices[0] if len(choices) == 1 else nearest(value, choices) if isinstance(value, str) else None
    return path, f"{str(value)[:40]!r} is not one of {', '.join(choices)}", suggestion


def _pattern_message(path: Path, value: Any) -> str:
    if path[-1] == "name":
        return f"{str(value)[:60]!r} is no DNS label: lower-case letters, digits and - inside"
    return f"{str(value)[:60]!r} has characters that do not belong here"


def _label(value: Any) -> str | None:
    """`Binance_Futures` -> `binance-futures`."""
    text = "".join(c if c.isascii() and c.isalnum() else "-" for c in str(value).lower()).strip("-")[:30].strip("-")
    return text or None


def _bounds_message(path: Path) -> str:
    _, metadata = _resolve(path)
    least = next((m.ge for m in metadata if getattr(m, "ge", None) is not None), None)
    most = next((m.le for m in metadata if getattr(m, "le", None) is not None), None)
    return f"must be a whole number between {least} and {most}"


def _nearest_bound(context: Mapping[str, Any]) -> str | None:
    bound = context.get("ge", context.get("le"))
    return None if bound is None else str(bound)


def _keys_at(path: Path) -> list[str]:
    annotation, _ = _resolve(path)
    return [field.alias or name for name, field in annotation.model_fields.items()] if _is_model(annotation) else []


def _choices_at(path: Path) -> list[str]:
    annotation, _ = _resolve(path)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _resolve(path: Path) -> tuple[Any, list[Any]]:
    """The type the model has at `path`, and the markers on it; (None, []) where the path leads out of the model."""
    annotation: Any = FeedSet
    metadata: list[Any] = []
    for part in path:
        if isinstance(part, int):
            annotation, metadata = _strip(get_args(annotation)[0] if get_args(annotation) else None)
            continue
        field = (
            next((f for f in annotation.model_fields.values() if f.alias == part), None)
            if _is_model(annotation)
            else None
        )
        if field is None:
            return None, []
        annotation, inner = _strip(field.annotation)
        metadata = [*_flat(field.metadata), *inner]
    return annotation, metadata


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _flat(metadata: list[Any]) -> list[Any]:
    return [inner for item in metadata for inner in (getattr(item, "metadata", None) or [item])]


def _strip(annotation: Any) -> tuple[Any, list[Any]]:
    """`Annotated[T, ...] | None` -> T and its markers."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(argument for argument in get_args(annotation) if argument is not NoneType)
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return inner, _flat(metadata)
    return annotation, []
