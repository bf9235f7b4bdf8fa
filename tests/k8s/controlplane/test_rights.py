"""The operator uses every right of its Role and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from feedplane_testing.kube import Object, eventually

from .conftest import RBAC, ROLE, Place

Make = Callable[..., Object]
LOST = {"apiVersion": "feedplane.io/v1alpha1", "kind": "FeedSet", "name": "lost", "uid": "lost", "controller": True}
PORTS = {"ports": [{"port": 1}]}
LEFT_BEHIND: dict[str, Object] = {
    "serviceaccounts": {},
    "services": {"spec": PORTS},
    "configmaps": {},
    "networkpolicies": {"spec": {"podSelector": {}}},
    "poddisruptionbudgets": {"spec": {"selector": {}}},
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
}

Right = tuple[str, str, str]


def granted(role: Object) -> set[Right]:
    """(group, resource, verb) of every rule."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(place: Place) -> set[Right]:
    """The same of every request that the server let through."""
    rights = set()
    for event in place.audited():
        ref, code = event["objectRef"], event["responseStatus"]["code"]
        resource = "/".join(filter(None, (ref["resource"], ref.get("subresource"))))
        assert code != 403, f"{event['verb']} {resource} is forbidden"
        rights.add((ref.get("apiGroup", ""), resource, event["verb"]))
        if event["verb"] == "patch" and code == 201:  # apply makes what is not there, which takes both rights
            rights.add((ref.get("apiGroup", ""), resource, "create"))
    return rights


async def leave_behind(place: Place) -> None:
    """One object of each kind whose FeedSet is gone."""
    for plural, more in LEFT_BEHIND.items():
        labels = {"app.kubernetes.io/managed-by": "feedplane-operator", "feedplane.io/feedset": "lost"}
        metadata = {"name": "left", "labels": labels, "ownerReferences": [LOST]}
        await place.kube.call("POST", place.path(plural), {"metadata": metadata} | more)


async def test_every_right_is_used_and_none_is_missing(place: Place, make: Make, make_entry: Make) -> None:
    place.plane.pause_controllers()  # the garbage collector would be faster than the sweep
    try:
        await leave_behind(place)
        await place.operator.start()

        async def swept() -> bool:
            deleted = {resource for verb, resource, name in place.written() if (verb, name) == ("delete", "left")}
            return deleted == set(LEFT_BEHIND)

        await eventually(swept, 30)
    finally:
        place.plane.resume_controllers()
    await place.apply(make(make_entry("spot"), replicas=2, spool={"medium": "EmptyDir", "size": "64Mi"}))
    claims = {"medium": "PersistentVolumeClaim", "size": "64Mi", "storageClassName": "fast"}
    claimed = make(name="claimed", spool=claims)
    claimed["spec"]["rollout"]["strategy"] = "Recreate"
    await place.apply(claimed)
    await place.until_ready()
    await place.until_ready("claimed")
    path = place.path("feedsets", "majors")
    for is_paused in (True, False, True):  # the same event again
        await place.kube.patch(path, {"spec": {"paused": is_paused}})
        await asyncio.sleep(2)
    await place.kube.delete(path)

    async def all_used() -> bool:
        # what the admission of owner references asks for is no request of its own: see the next test
        missing = granted(ROLE) - used(place) - {("feedplane.io", "feedsets/finalizers", "update")}
        assert not missing, f"never used: {missing}"
        return True

    await eventually(all_used, 110)  # a FeedSet is read when nothing was heard of it for a minute
    assert used(place) <= granted(ROLE)


async def test_without_the_right_to_block_deletion_it_says_what_is_refused(place: Place, make: Make) -> None:
    rules = [rule for rule in ROLE["rules"] if rule["resources"] != ["feedsets/finalizers"]]
    role = f"{RBAC}/namespaces/{place.namespace}/roles/{ROLE['metadata']['name']}"
    await place.kube.patch(role, {"rules": rules})
    await place.operator.start()
    await place.apply(make())

    async def told() -> bool:
        return (await place.conditions()).get("Progressing") == "False ObjectsRefused"

    await eventually(told, 20)
    await place.kube.patch(role, {"rules": ROLE["rules"]})
    await place.until_ready()
