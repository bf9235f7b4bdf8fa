"""One collector as a person would describe it: what is wanted of it beside what there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from feedplane_operator.desired import Collector, Desired
from feedplane_operator.health import Health
from feedplane_operator.observed import CollectorWord, Observed
from feedplane_operator.rollout import Decision, is_rolled_out

ROW_REASONS: Final = (
    ("Failing", "A pod does not run."),
    ("Held", "Its rollout waits for a sink to take data again."),
    ("Stuck", "Its rollout made no progress in time; the old pods keep running."),
    ("RollingOut", "Pods are being started or replaced, or wait for their turn."),
    ("NotReady", "A pod is missing, or has not subscribed and synced all books yet."),
    ("SymbolsChanging", "Running pods are taking up other symbols."),
    ("SymbolsRefused", "The exchange lists no such symbols; all others stream."),
    ("VenueSilent", "The exchange has brought nothing for 30 s on some feeds."),
    ("Streaming", "All is well."),
)
"""What a row of `status.exchanges` can say, the first that holds for one of its collectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One collector with all its live copies."""

    collector: Collector
    ready: int  # pods, never more than are wanted
    updated: int
    is_rolled_out: bool
    is_held: bool
    is_changing: bool  # a running pod follows other symbols than are wanted
    problems: tuple[str, ...]  # pods that do not run
    deadline_message: str | None
    refused: tuple[str, ...]  # symbols, with the field that names them
    complaint: str | None
    venue_trouble: str | None
    symbols: int | None  # None: discovered, and not told yet

    @property
    def base(self) -> str:
        return self.collector.base

    @property
    def word(self) -> str:
        """Its state in one word: the first of `ROW_REASONS` that holds."""
        holds = (
            bool(self.problems),
            self.is_held,
            self.deadline_message is not None,
            not self.is_rolled_out,
            self.ready < self.collector.copies,
            self.is_changing,
            bool(self.refused),
            self.venue_trouble is not None,
            True,
        )
        return next(name for (name, _), is_so in zip(ROW_REASONS, holds, strict=True) if is_so)


def render_views(desired: Desired, decision: Decision, observed: Observed, health: Health) -> list[View]:
    """In the order of the FeedSet."""
    return [_view(collector, decision, observed, health) for collector in desired.collectors]


def _view(collector: Collector, decision: Decision, observed: Observed, health: Health) -> View:
    place = (collector.entry, collector.shard)
    pods = [pod for pod in observed.pods if (pod.entry, pod.shard) == place and not pod.is_ending]
    current = [pod for pod in pods if pod.template_hash in collector.template_hashes]
    words = [health.words[pod.uid] for pod in current if pod.uid in health.words]
    heard = [word for word in words if word.symbols_hash == collector.symbols_hash]
    states = [observed.deployments[name] for name in collector.deployments if name in observed.deployments]
    refused = {symbol: why for word in heard for symbol, why in word.refused.items()}
    return View(
        collector=collector,
        ready=min(collector.copies, sum(pod.is_ready for pod in pods)),
        updated=min(collector.copies, len(current)),
        is_rolled_out=is_rolled_out(collector, observed),
        is_held=not decision.held.keys().isdisjoint(collector.deployments),
        is_changing=any(word.symbols_hash not in ("", collector.symbols_hash) for word in words),
        problems=tuple(f"{pod.name}: {pod.problem}" for pod in pods if pod.problem),
        deadline_message=next((state.deadline_message for state in states if state.deadline_message), None),
        refused=tuple(
            f"spec.exchanges[{collector.entry}].symbols.include: {symbol} {why}"
            for symbol, why in sorted(refused.items())
        ),
        complaint=next((word.complaint for word in words if word.complaint), None),
        venue_trouble=health.venues.get(place),
        symbols=_symbols(collector, refused, heard),
    )


def _symbols(collector: Collector, refused: dict[str, str], heard: list[CollectorWord]) -> int | None:
    """Listed ones without those that are refused; discovered ones as they are followed."""
    if collector.symbols is not None:
        return collector.symbols - len(refused)
    return max((word.followed for word in heard), default=None)
