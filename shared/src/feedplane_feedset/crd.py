"""The CustomResourceDefinition, generated from the model: structural, described on every field, bounded, with rules
instead of a webhook.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .cel import ENDPOINT_RULE, ROOT_RULES, RULES, bounds_rule
from .model import API_GROUP, API_VERSION, KIND, FeedSet
from .schema import BOUNDS, spec_schema

Schema = dict[str, Any]

_ATOMIC_LISTS = {
    ("sinks", "redis", "endpoints"),
    ("sinks", "clickhouse", "shards"),
    ("sinks", "clickhouse", "shards", "[]", "endpoints"),
}
"""Lists whose order matters; every other list of plain values is a set, so that two managers can each add to it."""


def render_crd(exchanges: Iterable[str]) -> dict[str, Any]:
    """The CRD as plain data; `exchanges` are the names an entry may choose from."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"feedsets.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": "feedsets",
                "singular": "feedset",
                "shortNames": ["feed"],
                "categories": ["marketdata"],
            },
            "versions": [
                {
                    "name": API_VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _printer_columns(),
                    "schema": {"openAPIV3Schema": _root(sorted(set(exchanges)))},
                }
            ],
        },
    }


def _root(exchanges: list[str]) -> Schema:
    spec = _structural(spec_schema(), (), exchanges)
    return {
        "type": "object",
        "description": (FeedSet.__doc__ or "").splitlines()[0],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this schema."},
            "kind": {"type": "string", "description": "Kind of this object."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _status(),
        },
        "x-kubernetes-validations": list(ROOT_RULES),
    }


def _structural(node: Schema, path: tuple[str, ...], exchanges: list[str]) -> Schema:
    """One level of the model's schema with what only Kubernetes asks for."""
    schema = {key: value for key, value in node.items() if key not in (BOUNDS, "properties", "items")}
    rules: list[Any] = list(RULES.get(path, ()))
    if BOUNDS in node:
        rules.append(bounds_rule(node[BOUNDS]))
    if path[-2:] == ("endpoints", "[]"):
        rules.append(ENDPOINT_RULE)
    if "properties" in node:
        schema["properties"] = {
            key: _structural(child, (*path, key), exchanges) for key, child in node["properties"].items()
        }
    if "items" in node:
        schema["items"] = _structural(node["items"], (*path, "[]"), exchanges)
        schema |= _list_type(path)
    if path == ("exchanges", "[]"):
        schema["required"] = [
            "name",
            *schema["required"],
        ]  # the key of the list; its default cannot be said in a schema
        schema["properties"]["name"]["description"] = "Name of this entry, unique in the FeedSet."
    if path == ("exchanges", "[]", "exchange"):
        schema = {"type": "string", "enum": exchanges, "description": node["description"]}
    return schema | ({"x-kubernetes-validations": rules} if rules else {})


def _list_type(path: tuple[str, ...]) -> Schema:
    if path == ("exchanges",):
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    return {"x-kubernetes-list-type": "atomic" if path in _ATOMIC_LISTS else "set"}


def _printer_columns() -> list[dict[str, Any]]:
    def condition(kind: str, field: str) -> str:
        return f'.status.conditions[?(@.type=="{kind}")].{field}'

    columns: list[tuple[str, str, str, int, str]] = [
        ("Ready", "string", condition("Ready", "status"), 0, "Whether all that is wanted is rolled out and streaming."),
        ("Reason", "string", condition("Ready", "reason"), 0, "Why it is, or is not."),
        ("Sinks", "string", condition("SinksHealthy", "status"), 0, "Whether the stores take what is collected."),
        ("Collectors", "integer", ".status.collectors.ready", 0, "Collectors that are ready."),
        ("Desired", "integer", ".status.collectors.desired", 0, "Collectors that are wanted."),
        ("Symbols", "integer", ".status.symbols", 0, "Instruments that are collected."),
        ("Age", "date", ".metadata.creationTimestamp", 0, "Time since it was created."),
        ("Version", "string", ".status.appliedVersion", 1, "Version of Feedplane that rolled it out."),
        ("Rollout", "string", condition("Progressing", "reason"), 1, "State of the rollout, or why it is held."),
        ("Loss", "string", condition("Degraded", "reason"), 1, "What is lost at the moment, if anything."),
    ]
    return [
        {"name": name, "type": kind, "jsonPath": path, "description": text}
        | ({"priority": priority} if priority else {})
        for name, kind, path, priority, text in columns
    ]


def _text(description: str, max_length: int) -> Schema:
    return {"type": "string", "description": description, "maxLength": max_length}


def _number(description: str, kind: str = "int32") -> Schema:
    return {"type": "integer", "format": kind, "description": description}


def _object(description: str, properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    schema = {"type": "object", "description": description, "properties": properties}
    return schema | ({"required": list(required)} if required else {})


def _list_map(description: str, key: str, max_items: int, items: Schema) -> Schema:
    shape = {"type": "array", "description": description, "maxItems": max_items, "items": items}
    return shape | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _status() -> Schema:
    """What is; written by the operator on change, without live rates."""
    collectors = {
        "desired": _number("Collectors that are wanted."),
        "ready": _number("Collectors that are subscribed and have every book in sync."),
        "updated": _number("Collectors that run the newest settings."),
    }
    entry = {
        "name": _text("Name of the entry.", 63),
        "desired": _number("Collectors that are wanted."),
        "ready": _number("Collectors that are ready."),
        "symbols": _number("Instruments that are collected, without those that the exchange refused."),
        "configHash": _text("Hash of the entry's settings; a change of symbols alone leaves it.", 64),
        "reason": _text("State in one word: Streaming, or what keeps it from that.", 64),
    }
    return _object(
        "What is.",
        {
            "observedGeneration": _number("Generation of the spec that this status describes.", "int64"),
            "appliedVersion": _text("Version of Feedplane whose rollout was completed last.", 64),
            "collectors": _object("Collectors, all entries together.", collectors),
            "symbols": _number("Instruments that are collected."),
            "exchanges": _list_map(
                "State of each entry.", "name", 64, _object("State of one entry.", entry, ("name",))
            ),
            "conditions": _list_map("Conditions.", "type", 16, _condition()),
        },
    )


def _condition() -> Schema:
    properties = {
        "type": _text("Ready, Accepted, Progressing, SinksHealthy or Degraded.", 316),
        "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
        "reason": _text("Why, in one word.", 1024),
        "message": _text("Why, in a sentence.", 32768),
        "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When status last changed."},
        "observedGeneration": _number("Generation of the spec that was judged.", "int64"),
    }
    return _object("One condition.", properties, ("type", "status", "reason", "lastTransitionTime"))
