"""Whether a live object is still what we applied: each field that server-side apply records as ours is compared. Pure.

`metadata.managedFields` tells which fields are ours and, by the shape of its paths, which lists are maps and by which
keys; so no schema is needed here, and what others add to the object (a sidecar's injector, an autoscaler, a policy
engine) is neither seen as drift nor touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

OPERATION: Final = "Apply"

_IDENTITY: Final = frozenset({"apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid"})
"""Fields every manager must send and none owns."""

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|[kMGTPE]|[KMGTPE]i)?")
_FACTORS: Final[dict[str | None, Decimal]] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_QUANTITIES: Final = frozenset({"requests", "limits", "sizeLimit"})
"""Keys below which the server rewrites a number into its canonical unit: 1024Mi becomes 1Gi."""


def difference(desired: Mapping[str, Any], live: Mapping[str, Any], manager: str) -> str | None:
    """Path of the first field that is not as applied, None when there is nothing to write.

    That is: a field whose value somebody changed, one that we do not own yet, one that we own and no longer want.
    """
    fields = _own_fields(live, manager)
    if fields is None:
        return "metadata.managedFields"
    return _of_map(desired, live, fields, "")


def _own_fields(live: Mapping[str, Any], manager: str) -> Mapping[str, Any] | None:
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == OPERATION and not entry.get("subresource"):
            return entry.get("fieldsV1") or {}
    return None


def _of_map(desired: Mapping[str, Any], live: Any, fields: Mapping[str, Any], path: str) -> str | None:
    for name in fields:
        if name.startswith("f:") and name[2:] not in desired:
            return _joined(path, name[2:])  # ours, and no longer wanted
    for key, value in desired.items():
        below = _joined(path, key)
        if below in _IDENTITY:
            continue
        own = fields.get(f"f:{key}")
        is_there = isinstance(live, Mapping) and key in live
        if not is_there and not value:
            continue  # the server leaves out zeros and what is empty
        if not is_there or (own is None and below != "metadata"):
            return below
        found = _of_value(value, live[key], own or {}, below)
        if found is not None:
            return found
    return None


def _of_value(desired: Any, live: Any, own: Mapping[str, Any], path: str) -> str | None:
    if isinstance(desired, Mapping) and any(name.startswith("f:") for name in own):
        return _of_map(desired, live, own, path)
    if isinstance(desired, Sequence) and any(name.startswith("k:") for name in own):
        return _of_keyed_list(desired, live, own, path)
    if isinstance(desired, list) and any(name.startswith("v:") for name in own):
        ours = {name[2:] for name in own if name.startswith("v:")}
        wanted = {json.dumps(item, separators=(",", ":")) for item in desired}
        return None if ours == wanted and all(item in live for item in desired) else path
    return None if _equal(desired, live, path) else path


def _of_keyed_list(desired: Sequence[Any], live: Any, own: Mapping[str, Any], path: str) -> str | None:
    """A list that the server merges by key: containers by name, ports by number and protocol."""
    entries = [(json.loads(name[2:]), fields) for name, fields in own.items() if name.startswith("k:")]
    if len(entries) != len(desired):
        return path
    for item in desired:
        match = next(((key, fields) for key, fields in entries if _has_key(item, key)), None)
        if match is None:
            return path
        key, fields = match
        held = next((there for there in live if _is_keyed(there, key)), None)
        shown = f"{path}[{','.join(str(part) for part in key.values())}]"
        if held is None:
            return shown
        found = _of_value(item, held, fields, shown)
        if found is not None:
            return found
    return None


def _has_key(item: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    """A part of the key that we leave out is one the server filled in with its default."""
    return all(name not in item or item[name] == value for name, value in key.items())


def _is_keyed(item: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    return all(item.get(name) == value for name, value in key.items())


def _equal(desired: Any, live: Any, path: str) -> bool:
    """Scalars and what is atomic to the server; inside it the server may still have filled in defaults."""
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and _equal(value, live[key], f"{path}.{key}") for key, value in desired.items()
        )
    if isinstance(desired, (list, tuple)):
        return (
            isinstance(live, list)
            and len(desired) == len(live)
            and all(_equal(value, there, path) for value, there in zip(desired, live, strict=True))
        )
    return bool(desired == live) or (_is_quantity(path) and _amount(desired) == _amount(live) is not None)


def _is_quantity(path: str) -> bool:
    return any(part in _QUANTITIES for part in path.split("."))


def _amount(value: Any) -> Decimal | None:
    match = _QUANTITY.fullmatch(str(value))
    return Decimal(match[1]) * _FACTORS[match[2]] if match else None


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
