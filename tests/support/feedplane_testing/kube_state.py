"""Deployments and pods as an API server would show them, made from what an operator wants, for tests without a cluster."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from feedplane_core.names import NS_PER_S
from feedplane_writer.words import Trouble, backlog_word, store_word

Object = dict[str, Any]


def deployment(wanted: Object, **status: Any) -> Object:
    """The wanted Deployment, applied and completely rolled out, unless `status` says otherwise."""
    live = copy.deepcopy(wanted)
    replicas = live["spec"]["replicas"]
    live["metadata"]["generation"] = 1
    live["status"] = {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas,
        "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
    } | status
    return live


def pods(live: Object, count: int | None = None, *, is_ready: bool = True) -> Iterator[Object]:
    """Pods of the template that the Deployment holds."""
    template = live["spec"]["template"]
    for number in range(live["spec"]["replicas"] if count is None else count):
        name = f"{live['metadata']['name']}-{template['metadata']['annotations']['feedplane.io/template-hash'][:5]}-{number}"
        metadata = {"name": name, "uid": f"uid-of-{name}", **copy.deepcopy(template["metadata"])}
        conditions = [{"type": "Ready", "status": "True" if is_ready else "False"}]
        yield {
            "kind": "Pod",
            "metadata": metadata,
            "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions},
        }


def outdated(live: Object) -> Object:
    """The same Deployment, of an older template."""
    old = copy.deepcopy(live)
    old["spec"]["template"]["metadata"]["annotations"]["feedplane.io/template-hash"] = "0ld0ld0ld0ld0ld0"
    return old


def collector_words(symbols_hash: str, **changes: Any) -> Object:
    """`/status` of a collector that is well."""
    return {
        "name": "binance-spot-0",
        "exchange": "binance_spot",
        "feeds": {"trades": {"gaps": 0, "state": "live", "open_gaps": 0}},
        "instruments": 1,
        "symbols": {"hash": symbols_hash, "followed": ["BTCUSDT"], "refused": {}, "file_error": None},
        "sockets": {"connected": 1, "planned": 1},
        "problems": [],
    } | changes


def writer_words(sink: str, *, trouble: str | None = None, for_s: float = 0, lag_s: float = 0) -> Object:
    """`/status` of a writer, in the words that writers themselves use."""
    told = None if trouble is None else Trouble(int(for_s * NS_PER_S), "unreachable", trouble)
    journals = [{"pending": 0, "backlog_bytes": 0, "lag_ns": int(lag_s * NS_PER_S)}]
    return {"sink": sink, "journals": journals, "store": store_word(told, 0), "backlog": backlog_word(journals)}
