"""The copy of the cluster only moves forward, whatever order watches and own writes come in."""

from __future__ import annotations

import random
from typing import Any

from feedplane_operator.kinds import CONFIG_MAP, key_of
from feedplane_operator.store import Store, slim

FEEDSET = ("n", "majors")


def config(name: str, version: int, uid: str = "u", feedset: str = "majors") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {"feedplane.io/feedset": feedset},
        },
        "data": {"version": str(version)},
    }


def names(store: Store) -> set[str]:
    return {name for _, _, name in store.of(FEEDSET)}


def test_an_event_that_lags_behind_our_own_write_changes_nothing() -> None:
    store = Store()
    told: list[Any] = []
    store.on_change = told.append
    store.put(config("a", 5), is_own_write=True)
    store.put(config("a", 4))

    assert store.of(FEEDSET)[key_of(config("a", 5))]["data"] == {"version": "5"}
    assert told == []  # and neither is a reason for another pass


def test_any_order_of_events_ends_with_the_newest() -> None:
    for seed in range(20):
        events = [config("a", version) for version in range(1, 8)]
        random.Random(seed).shuffle(events)
        store = Store()
        for event in events:
            store.put(event)
        assert store.of(FEEDSET)[key_of(config("a", 1))]["data"] == {"version": "7"}


def test_a_list_after_a_lost_watch_replaces_what_is_held() -> None:
    store = Store()
    for name in ("kept", "deleted unheard"):
        store.put(config(name, 3))
    store.put(config("written after the list", 11), is_own_write=True)
    store.replace(CONFIG_MAP, "n", [config("kept", 3), config("new", 8)], "10")

    assert names(store) == {"kept", "new", "written after the list"}


def test_a_list_of_one_namespace_leaves_others_alone() -> None:
    store = Store()
    other = config("elsewhere", 3)
    other["metadata"]["namespace"] = "m"
    store.put(other)
    store.replace(CONFIG_MAP, "n", [], "10")

    assert len(store.of(("m", "majors"))) == 1


def test_the_end_of_an_object_is_not_the_end_of_the_one_that_took_its_name() -> None:
    store = Store()
    store.put(config("a", 9, uid="second"))
    store.drop(config("a", 8, uid="first"))
    assert names(store) == {"a"}

    store.drop(config("a", 10, uid="second"))
    assert names(store) == set()


def test_an_object_whose_label_changed_belongs_to_the_other_feedset() -> None:
    store = Store()
    store.put(config("a", 1))
    store.put(config("a", 2, feedset="minors"))

    assert names(store) == set()
    assert len(store.of(("n", "minors"))) == 1


def test_pods_are_kept_without_their_specification() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "managedFields": [1], "labels": {"a": "b"}},
        "spec": {"nodeName": "node1", "containers": [{"env": [{"name": "X", "value": "y" * 1000}]}]},
        "status": {"podIP": "10.0.0.1"},
    }

    assert slim(pod) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
        "spec": {"nodeName": "node1"},
        "status": {"podIP": "10.0.0.1"},
    }
