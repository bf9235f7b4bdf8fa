"""Values: every one is described and has a place in the schema; wrong ones are refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from feedplane_testing.charts import CHARTS, Helm, Object, Refused

WRONG: list[tuple[str, Object]] = [
    ("operater", {"operater": {}}),
    ("operator", {"operator": {"replicas": 2}}),
    ("operator.logLevel", {"operator": {"logLevel": "loud"}}),
    ("operator.terminationGracePeriodSeconds", {"operator": {"terminationGracePeriodSeconds": "30"}}),
    ("operator.resources", {"operator": {"resources": {"limits": None}}}),
    ("operator.resources.limits.memory", {"operator": {"resources": {"limits": {"memory": "256 MB"}}}}),
    ("operator.extraEnv", {"operator": {"extraEnv": {"A": 1}}}),
    ("operator.otlpEndpoint", {"operator": {"otlpEndpoint": "http://user:secret@otel"}}),
    ("images.tag", {"images": {"tag": "latest"}}),
    ("images.tags.writer", {"images": {"tags": {"writer": "latest"}}}),
    ("images.pullPolicy", {"images": {"pullPolicy": "Sometimes"}}),
    ("images.digests.writer", {"images": {"digests": {"writer": "sha256:abc"}}}),
    ("images.registry", {"images": {"registry": "https://registry.example.com"}}),
    ("images.pullSecrets", {"images": {"pullSecrets": [{"name": "pull"}]}}),
    ("watch.namespaces", {"watch": {"namespaces": "all"}}),
    ("watch.namespaces", {"watch": {"namespaces": ["Not_A_Namespace"]}}),
    ("defaultSinks", {"defaultSinks": {"kafka": {}}}),
    ("defaultSinks.redis", {"defaultSinks": {"redis": {"endpoints": ["r:6379"], "password": "in the open"}}}),
    ("defaultSinks.redis.endpoints", {"defaultSinks": {"redis": {"endpoints": ["redis://r:6379"]}}}),
    ("defaultSinks.redis.endpoints", {"defaultSinks": {"redis": {"endpoints": []}}}),
    ("defaultSinks.clickhouse", {"defaultSinks": {"clickhouse": {"cluster": "c"}}}),
    ("defaultSinks.clickhouse.shards", {"defaultSinks": {"clickhouse": {"shards": ["c:8123"]}}}),
    ("venues.endpoints.okx.rest", {"venues": {"endpoints": {"okx": {"rest": "okx.example.com"}}}}),
    ("collectors.networkPolicy.privateRanges", {"collectors": {"networkPolicy": {"privateRanges": ["10.0.0.0"]}}}),
    ("nameOverride", {"nameOverride": "Not A Label"}),
    ("fullnameOverride", {"fullnameOverride": "x" * 37}),
    ("commonLabels.team", {"commonLabels": {"team": "data & co"}}),
    ("service.port", {"service": {"port": 0}}),
    ("metrics.podMonitor.interval", {"metrics": {"podMonitor": {"interval": "15"}}}),
    ("networkPolicy.enabled", {"networkPolicy": {"enabled": "yes"}}),
    ("rbac.clusterWide", {"rbac": {"clusterWide": True}}),
    ("simex.rate", {"simex": {"rate": -1}}),
    ("simex.seed", {"simex": {"seed": 1}}),
    ("redis.mode", {"redis": {"mode": "cluster"}}),
    ("redis.nodes", {"redis": {"nodes": 5}}),
    ("clickhouseLite.shards", {"clickhouseLite": {"shards": 0}}),
    ("clickhouseLite.persistence.size", {"clickhouseLite": {"persistence": {"size": "10 gigabytes"}}}),
]


@pytest.mark.parametrize(("path", "values"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_values_are_refused_by_name(helm: Helm, path: str, values: Object) -> None:
    with pytest.raises(Refused) as refusal:
        helm.template(values=values)

    said = str(refusal.value)
    assert "values don't meet the specifications of the schema" in said
    assert path.rpartition(".")[2] in said


def test_wrong_values_of_the_resource_chart_are_refused(helm: Helm) -> None:
    with pytest.raises(Refused, match="keep"):
        helm.template("feedset-crds", values={"keep": "yes"})


def load(chart: str) -> tuple[Object, Object]:
    folder = CHARTS / chart
    return yaml.safe_load((folder / "values.yaml").read_text()), json.loads((folder / "values.schema.json").read_text())


def named(schema: Object, root: Object) -> Object:
    """The schema of a value, its reference followed."""
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def paths_of_schema(schema: Object, root: Object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for key, child in named(schema, root).get("properties", {}).items():
        found |= {(*path, key)} | paths_of_schema(child, root, (*path, key))
    return found


def paths_of_values(values: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(values, dict):
        return set()
    return {(*path, key) for key in values}.union(*(paths_of_values(v, (*path, k)) for k, v in values.items()))


@pytest.mark.parametrize("chart", ["feedplane", "feedset-crds"])
def test_schema_and_values_name_the_same(chart: str) -> None:
    values, schema = load(chart)
    of_values = {path for path in paths_of_values(values) if path[0] != "feedset-crds"}
    of_schema = {path for path in paths_of_schema(schema, schema) if path[0] not in ("feedset-crds", "global")}

    inside = {
        path for path in of_values | of_schema if any(part in ("resources", "defaultSinks") for part in path[:-1])
    }
    assert of_values - inside == of_schema - inside


def objects_of(schema: Object, root: Object, path: str = "") -> list[tuple[str, Object]]:
    own = named(schema, root)
    below = [
        pair for key, child in own.get("properties", {}).items() for pair in objects_of(child, root, f"{path}.{key}")
    ]
    return [(path, own), *below] if own.get("type") == "object" else below


@pytest.mark.parametrize("chart", ["feedplane", "feedset-crds"])
def test_no_mapping_with_named_keys_takes_others(chart: str) -> None:
    _, schema = load(chart)
    lax = [
        path
        for path, own in objects_of(schema, schema)
        if "properties" in own and own.get("additionalProperties") is not False
    ]

    assert lax == []


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_environments_hold_only_differences(environment: str) -> None:
    base = yaml.safe_load((CHARTS / "feedplane" / "values.yaml").read_text())
    own = yaml.safe_load((CHARTS / "feedplane" / f"values-{environment}.yaml").read_text())

    def same(given: Any, default: Any, path: str) -> list[str]:
        if isinstance(given, dict) and isinstance(default, dict):
            return [one for key in given for one in same(given[key], default.get(key), f"{path}.{key}")]
        return [path] if given == default else []

    assert same(own, base, "") == []


def test_production_holds_no_password_and_no_stand_in() -> None:
    text = (CHARTS / "feedplane" / "values-prod.yaml").read_text()
    own = yaml.safe_load(text)

    assert not {"simex", "redis", "clickhouseLite"} & set(own)
    assert own["defaultSinks"]["redis"]["tls"]
    assert own["defaultSinks"]["clickhouse"]["tls"]
    assert all("passwordSecretRef" in sink for sink in own["defaultSinks"].values())
