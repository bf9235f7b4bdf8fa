"""What the documentation says there is, is there."""

from __future__ import annotations

import re
from pathlib import Path

from feedplane_operator.naming import CONFIG_HASH, SYMBOLS_HASH, TEMPLATE_HASH
from feedplane_operator.network import VENUE_PORTS
from feedplane_operator.pods import COLLECTOR_PORT, WRITER_PORTS
from feedplane_operator.rollout import PAUSE_ANNOTATION, ROLLOUT_ANNOTATION

from .conftest import Rendered

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "kubernetes-objects.md").read_text()


def test_the_tree_of_objects_is_the_one_that_is_rendered(rendered: Rendered) -> None:
    found = rendered({"name": "binance-spot"}, replicas=2)
    (collector,) = found.collectors
    names = {f"{each['kind']}/{each['metadata']['name']}" for each in found.objects}
    tree = set(re.findall(r"─ ([A-Z][A-Za-z]+/[a-z0-9<>-]+)", PAGE))

    assert {name.replace("<hash>", collector.config_hash[:8]) for name in tree} == names


def test_slots_are_named_as_told(rendered: Rendered) -> None:
    claim = {"medium": "PersistentVolumeClaim", "storageClassName": "fast"}
    (collector,) = rendered({"name": "binance-spot"}, replicas=2, spool=claim).collectors

    assert all(f"`{name}`" in PAGE for name in collector.deployments)


def test_labels_annotations_and_ports_are_named_as_they_are() -> None:
    for name in (
        CONFIG_HASH,
        TEMPLATE_HASH,
        SYMBOLS_HASH,
        f"{PAUSE_ANNOTATION}: disabled",
        f"{ROLLOUT_ANNOTATION}: force",
    ):
        assert f"`{name}`" in PAGE
    assert f"ports {' and '.join(map(str, VENUE_PORTS))} of the internet" in PAGE
    assert f"Ports {COLLECTOR_PORT} to {max(WRITER_PORTS.values())}" in PAGE
