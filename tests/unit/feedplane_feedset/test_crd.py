from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from feedplane_core.names import EXCHANGES
from feedplane_feedset.base import SYMBOL_PATTERN, is_symbol
from feedplane_feedset.crd import render_crd
from feedplane_feedset.reference import render_reference
from feedplane_feedset.schema import spec_schema

CRD = render_crd(EXCHANGES)
VERSION = CRD["spec"]["versions"][0]
SPEC = VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]
ENTRY = SPEC["properties"]["exchanges"]["items"]["properties"]

STRUCTURAL_KEYS = {
    "type", "description", "properties", "additionalProperties", "items", "required", "enum", "pattern", "default", "format", "minimum",
    "maximum", "minItems", "maxItems", "minLength", "maxLength", "maxProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
}  # fmt: skip


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for key, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{key}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{path}[]")


ALL = dict(nodes(VERSION["schema"]["openAPIV3Schema"]))


def test_names_and_subresources() -> None:
    names = CRD["spec"]["names"]

    assert CRD["metadata"]["name"] == "feedsets.feedplane.io"
    assert (names["shortNames"], names["categories"]) == (["feed"], ["marketdata"])
    assert VERSION["subresources"] == {"status": {}}
    assert [column["name"] for column in VERSION["additionalPrinterColumns"]] == [
        "Ready", "Reason", "Sinks", "Collectors", "Desired", "Symbols", "Age", "Version", "Rollout", "Loss",
    ]  # fmt: skip


@pytest.mark.parametrize("path", sorted(ALL))
def test_every_field_is_structural_and_explained(path: str) -> None:
    node = ALL[path]

    assert node["type"] in {"object", "array", "string", "integer", "boolean"}
    assert set(node) <= STRUCTURAL_KEYS
    assert path == ".metadata" or path.endswith("[]") or node["description"]


@pytest.mark.parametrize("path", sorted(path for path in ALL if path.startswith(".spec")))
def test_every_list_and_text_has_a_bound(path: str) -> None:
    """Without bounds the API server estimates the rules as too costly and refuses the CRD."""
    node = ALL[path]
    if node["type"] == "array":
        assert node["maxItems"] <= 2_000
        assert node["x-kubernetes-list-type"] in {"map", "set", "atomic"}
    elif node["type"] == "string":
        assert "enum" in node or node["maxLength"] <= 320
    elif "additionalProperties" in node:
        assert node["maxProperties"] <= 16


def test_exchanges_merge_by_name_and_come_from_the_caller() -> None:
    exchanges = SPEC["properties"]["exchanges"]

    assert exchanges["x-kubernetes-list-map-keys"] == ["name"]
    assert exchanges["items"]["required"] == ["name", "exchange", "feeds"]
    assert ENTRY["exchange"]["enum"] == sorted(EXCHANGES)
    assert "default" not in ENTRY["name"]


def test_defaults_are_written_as_in_the_file() -> None:
    assert ENTRY["cadence"]["properties"]["l1"]["default"] == "200ms"
    assert ENTRY["connection"]["default"] == {"staleAfter": "10s", "rotateBefore": "23h", "overlap": "30s"}
    assert SPEC["properties"]["spool"]["properties"]["size"]["default"] == "4Gi"
    assert SPEC["properties"]["sinks"]["default"] == {"redis": {}, "clickhouse": {}}
    assert "default" not in SPEC["properties"]["sinks"]["properties"]["redis"]


def with_defaults(node: dict[str, Any], value: Any) -> Any:
    """What the API server stores: defaults filled in from the outside in."""
    if node["type"] == "object" and isinstance(value, dict):
        children = node.get("properties", {})
        filled = {key: child["default"] for key, child in children.items() if "default" in child and key not in value}
        return {
            key: with_defaults(children[key], inner) if key in children else inner
            for key, inner in (value | filled).items()
        }
    return [with_defaults(node["items"], item) for item in value] if node["type"] == "array" else value


def test_server_defaults_equal_model_defaults(body: Any, parse: Any) -> None:
    """A FeedSet means the same whether `feedplane up` reads the file or the operator reads the object."""
    data = body({"name": "a"}, {"name": "b", "exchange": "bybit", "symbols": {"include": ["BTCUSDT"]}})
    data["spec"] = with_defaults(SPEC, data["spec"])

    assert parse(data) == parse(
        body({"name": "a"}, {"name": "b", "exchange": "bybit", "symbols": {"include": ["BTCUSDT"]}})
    )
    assert json.loads(json.dumps(data["spec"])) == parse(data).as_dict()["spec"]


@pytest.mark.parametrize(
    "symbol",
    [
        "BTCUSDT",
        "BTC-USD",
        "BTC/USD",
        "tBTCF0:USTF0",
        "BTC_USDT_20261225",
        "币安人生USDT",
        "a.b",
        "",
        "-A",
        "A-",
        "A..B",
        "A B",
        "{A}",
        "A\n",
        "../x",
        "A\u200b",
    ],
)
def test_the_pattern_of_symbols_says_what_the_model_says(symbol: str) -> None:
    """`re` knows no \\p, so the CRD's pattern is checked with its classes spelled out."""
    spelled = SYMBOL_PATTERN.replace(r"\p{L}\p{N}", r"^\W_").removeprefix("^").removesuffix("$")

    assert (re.fullmatch(spelled, symbol) is not None) == is_symbol(symbol)


def test_rules_stand_where_their_fields_are() -> None:
    def rules(node: dict[str, Any]) -> str:
        return " ".join(rule["rule"] for rule in node.get("x-kubernetes-validations", ()))

    assert "oldSelf.medium" in rules(SPEC["properties"]["spool"])
    assert "self.replicas == 2" in rules(SPEC)
    assert "duration('10ms')" in rules(ENTRY["cadence"]["properties"]["l1"])
    assert "<= 7" in rules(ENTRY["connection"]["properties"]["rotateBefore"])
    assert "quantity('64Mi')" in rules(SPEC["properties"]["spool"]["properties"]["size"])
    assert "65535" in rules(SPEC["properties"]["sinks"]["properties"]["redis"]["properties"]["endpoints"]["items"])


@pytest.mark.parametrize("path", sorted(path for path, node in ALL.items() if "x-kubernetes-validations" in node))
def test_field_paths_of_rules_exist(path: str) -> None:
    for rule in ALL[path]["x-kubernetes-validations"]:
        assert rule["message"]
        assert path + rule.get("fieldPath", "") in ALL


def test_no_field_takes_a_url() -> None:
    assert not [path for path in ALL if re.search(r"ur[il]$", path, re.IGNORECASE)]


def test_reference_has_a_row_for_every_field() -> None:
    page = render_reference()

    for path, _ in nodes(spec_schema(), "spec"):
        if not path.endswith("[]"):
            assert f"| `{path}` |" in page
    assert "| `spec.exchanges[].cadence.l1` | duration | `200ms` | 10ms to 1h |" in page


def test_reference_rows_have_five_cells() -> None:
    rows = [line for line in render_reference().splitlines() if line.startswith("|")]

    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
