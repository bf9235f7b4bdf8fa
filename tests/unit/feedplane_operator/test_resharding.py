"""From any FeedSet to any other, pass by pass: a cluster that does what Deployments do, an operator that decides, and at every step who follows what."""

from __future__ import annotations

import copy
import json
from typing import Any

from feedplane_feedset.model import FeedSet
from feedplane_feedset.sharding import owned
from feedplane_operator.desired import Object, render
from feedplane_operator.health import Health
from feedplane_operator.observed import Observed, observe
from feedplane_operator.rollout import decide, is_complete
from feedplane_testing import kube_state
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import SURROUNDINGS, owner_of
from .test_properties import accepted

SYMBOLS = [f"S{number}USDT" for number in range(12)]
WELL = Health(sinks={}, venues={}, gaps=frozenset(), words={})


class Cluster:
    """Deployments replaced one pod at a time, new before old; ConfigMaps that pods see at once."""

    def __init__(self) -> None:
        self.deployments: dict[str, Object] = {}
        self.maps: dict[str, Object] = {}
        self.templates: dict[str, list[Object]] = {}  # of the pods that run, by Deployment

    def apply(self, each: Object) -> None:
        name = each["metadata"]["name"]
        if each["kind"] == "ConfigMap":
            self.maps[name] = each
        elif each["kind"] == "Deployment":
            self.deployments[name] = kube_state.deployment(each) | {"status": {}}
            self.templates.setdefault(name, [])
            self._tell(name)

    def observed(self) -> Observed:
        return observe([*self.deployments.values(), *self.maps.values()], {})

    def delete(self, name: str) -> None:
        del self.deployments[name], self.templates[name]

    def advance(self) -> None:
        """One step of every Deployment: a new pod is ready, or an old one goes."""
        for name, live in self.deployments.items():
            pods, template, wanted = self.templates[name], live["spec"]["template"], live["spec"]["replicas"]
            old = [pod for pod in pods if pod != template]
            if len(pods) - len(old) < wanted:
                pods.append(copy.deepcopy(template))
            elif old:
                pods.remove(old[0])
            elif len(pods) > wanted:
                pods.pop()
            self._tell(name)

    def _tell(self, name: str) -> None:
        live, pods = self.deployments[name], self.templates[name]
        updated = sum(pod == live["spec"]["template"] for pod in pods)
        done = updated == len(pods) == live["spec"]["replicas"]
        progress = {"type": "Progressing", "reason": "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"}
        live["status"] = {
            "observedGeneration": 1,
            "replicas": len(pods),
            "updatedReplicas": updated,
            "availableReplicas": min(len(pods), live["spec"]["replicas"]),
            "conditions": [progress],
        }

    def followed(self) -> set[str]:
        """Symbols that some pod collects, by the files that it has."""
        return {symbol for pods in self.templates.values() for pod in pods for symbol in self._followed(pod)}

    def _followed(self, template: Object) -> tuple[str, ...]:
        volumes = {each["name"]: each for each in template["spec"]["volumes"]}
        settings_, symbols = (
            json.loads(self.maps[volumes[volume]["configMap"]["name"]]["data"][file])
            for volume, file in (("config", "collector.json"), ("symbols", "symbols.json"))
        )
        return owned(symbols["include"], settings_["shard"], settings_["shards"])


def brought_about(cluster: Cluster, feedset: FeedSet, kept: set[str]) -> int:
    """Passes until nothing is left to do; `kept` are symbols that somebody has to follow throughout."""
    found = render(feedset, owner_of(feedset), SURROUNDINGS)
    wanted = {name for collector in found.collectors for name in collector.deployments}
    for number in range(1, 200):
        observed = cluster.observed()
        decision = decide(feedset, found, observed, WELL, {})
        for each in decision.apply:
            cluster.apply(each)
        for name in [name for name in cluster.deployments if name not in wanted]:
            if not decision.keeps(cluster.deployments[name]):
                cluster.delete(name)
        assert kept <= cluster.followed(), f"pass {number}: {sorted(kept - cluster.followed())}"
        rolling = {
            name
            for name, pods in cluster.templates.items()
            if len(pods) > cluster.deployments[name]["spec"]["replicas"]
        }
        assert len(rolling) <= 1
        observed = cluster.observed()
        if cluster.deployments.keys() == wanted and all(is_complete(each, observed) for each in found.collectors):
            return number
        cluster.advance()
        assert kept <= cluster.followed(), f"pass {number}: {sorted(kept - cluster.followed())}"
    raise AssertionError("it never comes to an end")


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """One exchange in one or two entries."""
    names = draw(st.sampled_from([["a"], ["b"], ["a", "b"], ["b", "a"]]))
    symbols = draw(st.lists(st.sampled_from(SYMBOLS), min_size=2, unique=True))
    shares = [symbols] if len(names) == 1 else [symbols[::2], symbols[1::2]]
    feeds = draw(st.sampled_from([["trades"]] * 3 + [["trades", "l1"]]))
    entries = [
        {
            "name": name,
            "exchange": "bybit",
            "feeds": feeds,
            "symbols": {"include": share},
            "shards": draw(st.sampled_from([1, 1, 2, 3])),
        }
        for name, share in zip(names, shares, strict=True)
    ]
    return {"exchanges": entries, "replicas": draw(st.integers(1, 2)), "sinks": {"redis": {}}}


@settings(max_examples=60, deadline=None)
@given(bodies(), bodies())
def test_every_change_comes_to_its_end_and_no_symbol_is_ever_without_a_follower(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    cluster = Cluster()
    brought_about(cluster, accepted("m", before), set())
    assert cluster.followed() == symbols_of(before)
    brought_about(cluster, accepted("m", after), symbols_of(before) & symbols_of(after))

    assert cluster.followed() == symbols_of(after)


def symbols_of(body: dict[str, Any]) -> set[str]:
    return {symbol for entry in body["exchanges"] for symbol in entry["symbols"]["include"]}
