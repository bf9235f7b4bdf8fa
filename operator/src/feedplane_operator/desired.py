"""FeedSet -> all objects that it stands for. Pure and deterministic: equal FeedSets, owners and surroundings give equal
objects, and nothing live is looked at, so a second look never finds something to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from feedplane_core.names import DATABASES, Mode
from feedplane_feedset.default_sinks import with_default_sinks
from feedplane_feedset.exchanges import ExchangeEntry
from feedplane_feedset.model import FeedSet
from feedplane_feedset.render import Pod, Stores, render_pods

from feedplane_operator.configs import render_configs
from feedplane_operator.naming import TEMPLATE_HASH, Namer, fitted
from feedplane_operator.network import render_shared
from feedplane_operator.pods import SECRETS_FOLDER, SPOOL_FOLDER, PodParts
from feedplane_operator.surroundings import Images, Network, Object, Owner, Surroundings
from feedplane_operator.workloads import render_workloads

__all__ = ["Collector", "Desired", "Images", "Network", "Object", "Owner", "Surroundings", "render"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """One collector (an entry's shard) with all its live copies."""

    entry: str
    exchange: str
    shard: int
    base: str  # leads the names of its objects: "majors-binance-spot-0"
    copies: int  # live pods that are wanted
    sinks: tuple[str, ...]  # that its writers write to
    config_hash: str  # of its settings without symbols
    symbols_hash: str  # what the pods' annotation feedplane.io/symbols-hash has to say
    symbols: int | None  # None: as many as the venue lists
    config_map: str
    symbols_map: str
    deployments: tuple[str, ...]  # one; with claims one per slot, to be replaced one after the other
    template_hashes: tuple[str, ...]  # per deployment, as in its pods' annotation feedplane.io/template-hash
    objects: tuple[Object, ...]  # its own, in the order in which they are applied


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything that should be there for one FeedSet, and nothing else should."""

    owner: Owner
    version: str
    shared: tuple[Object, ...]  # of the FeedSet as a whole; applied before the collectors
    collectors: tuple[Collector, ...]

    @property
    def objects(self) -> tuple[Object, ...]:
        """All of them, in the order in which they are applied."""
        return (*self.shared, *(each for collector in self.collectors for each in collector.objects))


def render(feedset: FeedSet, owner: Owner, surroundings: Surroundings) -> Desired:
    """Everything that `feedset` stands for.

    Raises: FeedSetError naming a sink that has no address, neither in the FeedSet nor among the default sinks.
    """
    completed = with_default_sinks(feedset, surroundings.default_sinks)
    pods = render_pods(completed, _stores(surroundings))
    entries = {entry.name: entry for entry in completed.spec.exchanges}
    namer = Namer(owner, surroundings, completed.metadata.labels)
    return Desired(
        owner=owner,
        version=surroundings.version,
        shared=tuple(render_shared(namer, pods)),
        collectors=tuple(_collector(namer, completed, entries[pod.collector.entry], pod) for pod in pods),
    )


def _stores(surroundings: Surroundings) -> Stores:
    """Simulated data never meets live data: it has a database of its own, whatever the FeedSet names."""
    database = None if surroundings.mode is Mode.LIVE else DATABASES[surroundings.mode]
    return Stores(database=database, journal_root=f"{SPOOL_FOLDER}/journal", secrets_root=SECRETS_FOLDER)


def _collector(namer: Namer, feedset: FeedSet, entry: ExchangeEntry, pod: Pod) -> Collector:
    config = pod.collector
    base = fitted(feedset.metadata.name, entry.name, str(config.shard))
    labels = {"entry": entry.name, "exchange": entry.exchange, "shard": str(config.shard)}
    configs = render_configs(namer, base, pod, labels)
    config_map, symbols_map = configs.standing["metadata"]["name"], configs.symbols["metadata"]["name"]
    parts = PodParts(feedset, entry, pod, config_map, symbols_map, configs.config_hash, labels)
    workloads = render_workloads(namer, base, parts)
    deployments = [each for each in workloads if each["kind"] == "Deployment"]
    return Collector(
        entry=entry.name,
        exchange=entry.exchange,
        shard=config.shard,
        base=base,
        copies=feedset.spec.replicas,
        sinks=tuple(writer.sink.value for writer in pod.writers),
        config_hash=configs.config_hash,
        symbols_hash=pod.symbols_hash,
        symbols=None if entry.symbols.is_discovered else len(config.symbols.include),
        config_map=config_map,
        symbols_map=symbols_map,
        deployments=tuple(each["metadata"]["name"] for each in deployments),
        template_hashes=tuple(_template_hash(each) for each in deployments),
        objects=(configs.standing, configs.symbols, *workloads),
    )


def _template_hash(deployment: Object) -> str:
    return str(deployment["spec"]["template"]["metadata"]["annotations"][TEMPLATE_HASH])
