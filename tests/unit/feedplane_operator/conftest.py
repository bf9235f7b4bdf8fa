"""FeedSets as a cluster's operator gets them, and surroundings to render them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from feedplane_core.names import EXCHANGES, NS_PER_S, Feed, MarketType
from feedplane_feedset.default_sinks import DefaultSinks
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.model import FeedSet
from feedplane_feedset.validate import parse_feedset
from feedplane_operator.desired import Collector, Desired, Owner, Surroundings, render
from feedplane_operator.health import Memory
from feedplane_operator.observed import Observed, observe
from feedplane_operator.rollout import Decision, decide
from feedplane_operator.status import Outcome, render_status
from feedplane_testing import kube_state

KNOWN = KnownExchanges(KnownExchange(name, frozenset(Feed), frozenset(MarketType)) for name in EXCHANGES)
SURROUNDINGS = Surroundings(
    version="1.2.3",
    default_sinks=DefaultSinks.model_validate(
        {
            "redis": {"endpoints": ["redis:6379"]},
            "clickhouse": {"shards": [{"endpoints": ["clickhouse.stores.svc:8123"]}]},
        }
    ),
)

Build = Callable[..., FeedSet]
Rendered = Callable[..., Desired]


def owner_of(feedset: FeedSet) -> Owner:
    return Owner(name=feedset.metadata.name, namespace="md", uid="11111111-2222-3333-4444-555555555555")


@pytest.fixture
def build() -> Build:
    """`build(entry, ..., name=, labels=, **spec)`; an entry is completed with `exchange`, `feeds` and one symbol."""

    def made(
        *entries: dict[str, Any], name: str = "majors", labels: dict[str, str] | None = None, **spec: Any
    ) -> FeedSet:
        base = {"exchange": "binance_spot", "feeds": ["trades"], "symbols": {"include": ["BTCUSDT"]}}
        body = {
            "apiVersion": "feedplane.io/v1alpha1",
            "kind": "FeedSet",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"exchanges": [base | entry for entry in entries or ({},)], **spec},
        }
        return parse_feedset(body, KNOWN)

    return made


@pytest.fixture
def rendered(build: Build) -> Rendered:
    """As `build`, rendered in `surroundings`."""

    def made(*entries: dict[str, Any], surroundings: Surroundings = SURROUNDINGS, **spec: Any) -> Desired:
        feedset = build(*entries, **spec)
        return render(feedset, owner_of(feedset), surroundings)

    return made


class Scene:
    """A cluster that has brought a FeedSet about, to be disturbed: what the operator sees of it and makes of it."""

    def __init__(self, feedset: FeedSet, before: Desired | None = None) -> None:
        self.feedset = feedset
        self.desired = render(feedset, owner_of(feedset), SURROUNDINGS)
        self.annotations: dict[str, str] = {}
        self.refused: list[str] = []  # objects that the API server would not take
        self.memory = Memory()
        self.status: dict[str, Any] = {}
        self.now_ns = 1_800_000_000 * NS_PER_S
        self.deployments: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.words: dict[str, dict[str, Any]] = {}
        for collector in (before or self.desired).collectors:
            for each in collector.objects:
                if each["kind"] == "Deployment":
                    self._run(collector, each)

    def _run(self, collector: Collector, wanted: dict[str, Any]) -> None:
        live = kube_state.deployment(wanted)
        self.deployments[live["metadata"]["name"]] = live
        for pod in kube_state.pods(live):
            self.pods.append(pod)
            self.words[pod["metadata"]["name"]] = {
                "collector": kube_state.collector_words(collector.symbols_hash),
                **{f"writer-{sink}": kube_state.writer_words(sink) for sink in collector.sinks},
            }

    @property
    def observed(self) -> Observed:
        return observe([*self.deployments.values(), *self.pods], self.words)

    def decide(self) -> Decision:
        health = self.memory.judge(self.observed, self.status, self.now_ns)
        return decide(self.feedset, self.desired, self.observed, health, self.annotations)

    def look(self, after_s: float = 0) -> Outcome:
        """One pass, `after_s` later; its status is the next one's previous."""
        self.now_ns += int(after_s * NS_PER_S)
        health = self.memory.judge(self.observed, self.status, self.now_ns)
        decision = decide(self.feedset, self.desired, self.observed, health, self.annotations)
        outcome = render_status(
            self.desired,
            decision,
            self.observed,
            health,
            self.status,
            refused=self.refused,
            generation=7,
            now_ns=self.now_ns,
        )
        self.status = outcome.status
        return outcome

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason."""
        (found,) = [each for each in self.status["conditions"] if each["type"] == kind]
        return found["status"], found["reason"]

    def message(self, kind: str) -> str:
        return str(next(each["message"] for each in self.status["conditions"] if each["type"] == kind))

    def say(self, container: str, **changes: Any) -> None:
        """Every pod's container says this from now on."""
        for words in self.words.values():
            if container in words:
                words[container] = words[container] | changes

    def break_sink(self, sink: str = "redis", reason: str = "connection refused", for_s: float = 60) -> None:
        self.say(f"writer-{sink}", **kube_state.writer_words(sink, trouble=reason, for_s=for_s))

    def mend_sink(self, sink: str = "redis") -> None:
        self.say(f"writer-{sink}", **kube_state.writer_words(sink))

    def outdate(self, *names: str) -> None:
        """These Deployments run an older template, completely."""
        for name in names or tuple(self.deployments):
            self.deployments[name] = kube_state.outdated(self.deployments[name])
            old = [pod for pod in self.pods if pod["metadata"]["name"].startswith(f"{name}-")]
            new = list(kube_state.pods(self.deployments[name]))
            self.pods = [pod for pod in self.pods if pod not in old] + new
            for before, after in zip(old, new, strict=True):
                if before["metadata"]["name"] in self.words:
                    self.words[after["metadata"]["name"]] = self.words.pop(before["metadata"]["name"])

    def update(self, name: str, **status: Any) -> None:
        """Status fields of one Deployment."""
        self.deployments[name]["status"] |= status

    def applied(self) -> set[str]:
        """Names of the Deployments that would be applied now."""
        return {each["metadata"]["name"] for each in self.decide().apply if each["kind"] == "Deployment"}


@pytest.fixture
def scene(build: Build) -> Callable[..., Scene]:
    """`scene(entry, ..., **spec)`: that FeedSet, brought about."""
    return lambda *entries, **spec: Scene(build(*entries, **spec))
