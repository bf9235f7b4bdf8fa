"""Whole FeedSets and the manifests they stand for, to be read as code. `UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from feedplane_core.names import Mode
from feedplane_feedset.default_sinks import DefaultSinks
from feedplane_feedset.validate import parse_feedset
from feedplane_operator.desired import Images, Network, Owner, Surroundings, render

from .conftest import KNOWN, SURROUNDINGS

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.name.removesuffix(".feedset.yaml") for path in GOLDEN.glob("*.feedset.yaml"))

PLACES = {
    "production": Surroundings(
        version="1.2.3",
        images=Images(
            registry="registry.example.com:5000",
            prefix="md/",
            tag="1.2.3-rc.1",
            digests={"writer": "sha256:" + "ab" * 32},
            pull_policy="Always",
            pull_secrets=("pull",),
        ),
        network=Network(
            operator_namespace="feedplane",
            metrics_peers=({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},),
            egress_peers=({"ipBlock": {"cidr": "10.1.2.0/24"}},),
        ),
        switches={"okx": {"trades": "all"}},
        log_level="warning",
        otlp_endpoint="http://otel.observability:4318",
    ),
    "simulated": Surroundings(
        version="1.2.3",
        mode=Mode.SIM,
        endpoints={"bybit": {"rest": "http://simex.sim.svc:8900/bybit", "ws": "ws://simex.sim.svc:8900/bybit"}},
        default_sinks=DefaultSinks.model_validate(
            {
                "redis": {"endpoints": ["redis:6379"]},
                "clickhouse": {"shards": [{"endpoints": ["clickhouse-0:8123"]}, {"endpoints": ["clickhouse-1:8123"]}]},
            }
        ),
        network=Network(is_enforced=False),
    ),
}
"""By case; others are rendered in the tests' usual surroundings."""


class _Dumper(yaml.SafeDumper):
    """Settings files as blocks that can be read; no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def manifests(case: str) -> str:
    feedset = parse_feedset((GOLDEN / f"{case}.feedset.yaml").read_text(), KNOWN)
    desired = render(
        feedset, Owner(name=feedset.metadata.name, namespace="md", uid="u-1"), PLACES.get(case, SURROUNDINGS)
    )
    return yaml.dump_all(desired.objects, Dumper=_Dumper, sort_keys=False, width=140)


@pytest.mark.parametrize("case", CASES)
def test_a_feedset_stands_for_exactly_these_objects(case: str) -> None:
    path = GOLDEN / f"{case}.expected.yaml"
    text = manifests(case)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)

    assert path.read_text() == text


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_would_store_it_as_it_is_written(case: str) -> None:
    """JSON types only, and nothing empty that a server would drop: what is applied can be compared with what is live."""
    for each in yaml.safe_load_all(manifests(case)):
        assert not list(empties(each, each["kind"]))


def empties(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        return (
            [text for key, child in value.items() for text in empties(child, f"{path}.{key}")]
            if value
            else [path] * (not path.endswith("namespaceSelector"))
        )
    if isinstance(value, list):
        return [text for child in value for text in empties(child, f"{path}[]")] if value else [path]
    return [path] if value is None else []
