"""Only what is ours and unwanted is deleted, and no ConfigMap that a pod may still mount."""

from __future__ import annotations

from typing import Any

from feedplane_operator.kinds import key_of
from feedplane_operator.orphans import orphans
from feedplane_operator.pruning import superfluous

UID = "feedset-uid"


def obj(kind: str, name: str, *, uid: str | None = UID, version: int = 1, **more: Any) -> dict[str, Any]:
    group = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "PodDisruptionBudget": "policy/v1"}.get(kind, "v1")
    owners = [{"kind": "FeedSet", "name": "f", "uid": uid, "controller": True}] if uid else []
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": name, "namespace": "n", "resourceVersion": str(version), "ownerReferences": owners},
    } | more


def mounting(kind: str, name: str, *configs: str, uid: str | None = UID) -> dict[str, Any]:
    volumes = [{"name": config, "configMap": {"name": config}} for config in configs]
    return obj(kind, name, uid=uid, spec={"template": {"spec": {"volumes": volumes}}})


def pruned(wanted: list[dict[str, Any]], *others: dict[str, Any]) -> list[str]:
    live = {key_of(each): each for each in (*wanted, *others)}
    return [each["metadata"]["name"] for each in superfluous({key_of(each) for each in wanted}, live, UID)]


CURRENT = [obj("ConfigMap", "f-e-0-cccccccc", immutable=True), mounting("Deployment", "f-e-0", "f-e-0-cccccccc")]


def test_nothing_is_pruned_when_all_is_wanted() -> None:
    assert pruned(CURRENT) == []


def test_an_entry_that_is_gone_goes_from_its_budget_and_deployment_to_its_configs() -> None:
    gone = [
        obj("ConfigMap", "f-x-0-aaaaaaaa", immutable=True),
        obj("ConfigMap", "f-x-0-symbols"),
        mounting("Deployment", "f-x-0"),
        obj("PodDisruptionBudget", "f-x-0"),
    ]

    assert pruned(CURRENT, *gone) == ["f-x-0", "f-x-0", "f-x-0-aaaaaaaa", "f-x-0-symbols"]


def test_what_belongs_to_others_is_left_alone() -> None:
    others = [
        obj("ConfigMap", "a-persons", uid=None),
        obj("PersistentVolumeClaim", "retained", uid=None),
        obj("ConfigMap", "another-feedsets", uid="another"),
        obj("Pod", "f-e-0-abc"),
        obj("ReplicaSet", "f-e-0-abc", spec={"template": {"spec": {}}}),
    ]

    assert pruned(CURRENT, *others) == []


def test_a_config_that_a_replica_set_may_go_back_to_stays() -> None:
    old = obj("ConfigMap", "f-e-0-aaaaaaaa", immutable=True)
    older = obj("ConfigMap", "f-e-0-bbbbbbbb", immutable=True)
    rs = [
        mounting("ReplicaSet", f"rs{i}", name, uid="d") for i, name in enumerate(("f-e-0-aaaaaaaa", "f-e-0-bbbbbbbb"))
    ]

    assert pruned(CURRENT, old, older, *rs) == []
    assert pruned(CURRENT, old, older, rs[0]) == ["f-e-0-bbbbbbbb"]


def test_a_config_whose_rollout_is_held_stays_with_the_deployment_that_mounts_it() -> None:
    new = obj("ConfigMap", "f-e-0-dddddddd", immutable=True)
    held = mounting("Deployment", "f-e-0", "f-e-0-cccccccc")

    assert pruned([new, held], obj("ConfigMap", "f-e-0-cccccccc", immutable=True)) == []


def test_two_revisions_stay_without_any_replica_set() -> None:
    old = [obj("ConfigMap", f"f-e-0-{i:08x}", immutable=True, version=i) for i in (5, 30, 7)]

    assert pruned(CURRENT, *old) == ["f-e-0-00000005", "f-e-0-00000007"]


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    ending = mounting("Deployment", "f-x-0")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert pruned(CURRENT, ending) == []


def test_orphans_are_those_whose_feedset_is_gone() -> None:
    living, left, retained = obj("Service", "s"), obj("Service", "t", uid="gone"), obj("ConfigMap", "c", uid=None)
    foreign = obj("Service", "x")
    foreign["metadata"]["ownerReferences"][0] |= {"kind": "Other", "uid": "gone"}

    assert list(orphans([living, left, retained, foreign], {UID})) == [left]
