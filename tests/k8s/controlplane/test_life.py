"""What the operator makes of a FeedSet, from its creation to its end, on a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import yaml
from feedplane_testing.kube import Object, eventually

from .conftest import OPERATOR, RBAC, ROLE, ROOT, Place

Make = Callable[..., Object]


async def test_a_feedset_becomes_its_tree_and_then_nothing_is_written(
    place: Place, make: Make, make_entry: Make
) -> None:
    await place.operator.start()
    await place.apply(make(make_entry("spot"), make_entry("coin", "coinbase", "BTC-USD", "ETH-USD")))
    await place.until_ready()

    assert await place.names("deployments") == {"majors-spot-0", "majors-coin-0"}
    assert await place.names("serviceaccounts") == {"majors-collector"}
    assert await place.names("services") == {"majors-metrics"}
    assert await place.names("networkpolicies") == {"majors-collectors"}
    assert len(await place.names("configmaps")) == 4
    feedset = await place.get("feedsets", "majors")
    for plural in ("deployments", "services", "networkpolicies", "serviceaccounts", "configmaps"):
        for name in await place.names(plural):
            [owner] = (await place.get(plural, name))["metadata"]["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == (feedset["metadata"]["uid"], True)
    assert feedset["status"]["collectors"] == {"desired": 2, "ready": 2, "updated": 2}
    assert {"RolloutStarted", "RolloutComplete"} <= await place.events()

    await asyncio.sleep(2)  # what is under way ends
    done, before = 'feedplane_operator_reconciles_total{result="done"}', len(place.written())
    passes = (await place.operator.metrics())[done]
    for number in range(8):  # each makes a pass: what others write is no reason to write
        theirs = {"metadata": {"annotations": {"policy.example/seen": str(number)}}}
        await place.kube.patch(place.path("deployments", "majors-spot-0"), theirs)
        await asyncio.sleep(1)
    assert place.written()[before:] == []
    assert (await place.operator.metrics())[done] >= passes + 5
    assert len(place.operator.writes()) == 9  # each object once, though its passes were many


async def test_drift_in_what_is_ours_is_repaired_and_what_others_add_stays(place: Place, make: Make) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    deployment = place.path("deployments", "majors-spot-0")
    before = await place.get("deployments", "majors-spot-0")

    await place.kube.patch(
        deployment,
        {
            "metadata": {"annotations": {"policy.example/seen": "yes"}, "labels": {"feedplane.io/exchange": "wrong"}},
            "spec": {"replicas": 0, "minReadySeconds": 77},
        },
    )
    await place.kube.delete(place.path("services", "majors-metrics"))
    await place.kube.patch(place.path("configmaps", "majors-spot-0-symbols"), {"data": {"symbols.json": "{}"}})

    async def repaired() -> bool:
        live = await place.get("deployments", "majors-spot-0")
        symbols = await place.get("configmaps", "majors-spot-0-symbols")
        assert live["spec"] == before["spec"]
        assert live["metadata"]["labels"] == before["metadata"]["labels"]
        assert "BTCUSDT" in symbols["data"]["symbols.json"]
        return await place.names("services") == {"majors-metrics"}

    await eventually(repaired, 10)
    live = await place.get("deployments", "majors-spot-0")
    assert live["metadata"]["annotations"]["policy.example/seen"] == "yes"


async def test_an_unlabelled_child_comes_back_under_its_feedset(place: Place, make: Make) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    path = place.path("networkpolicies", "majors-collectors")
    await place.kube.patch(path, {"metadata": {"labels": None}})

    async def labelled() -> bool:
        return await place.names("networkpolicies") == {"majors-collectors"}

    await eventually(labelled, 10)


async def test_symbols_alone_change_one_config_map_and_an_annotation(
    place: Place, make: Make, make_entry: Make
) -> None:
    await place.operator.start()
    await place.apply(make(make_entry("spot", "binance_spot", "BTCUSDT")))
    await place.until_ready()
    await asyncio.sleep(1)
    before = len(place.written())
    [pod] = await place.names("pods")
    hash_before = (await place.get("pods", pod))["metadata"]["annotations"]["feedplane.io/symbols-hash"]

    await place.apply(make(make_entry("spot", "binance_spot", "BTCUSDT", "SOLUSDT")))

    async def told() -> bool:
        annotations = (await place.get("pods", pod))["metadata"]["annotations"]
        return bool(annotations["feedplane.io/symbols-hash"] != hash_before)

    await eventually(told, 5)
    await place.until_ready()
    written = set(place.written()[before:])
    assert {each for each in written if each[1] not in ("feedsets", "events")} == {
        ("patch", "configmaps", "majors-spot-0-symbols"),
        ("patch", "pods", pod),
    }
    assert (await place.get("deployments", "majors-spot-0"))["metadata"]["generation"] == 1


async def test_a_change_of_settings_makes_a_new_config_and_old_ones_go_in_time(
    place: Place, make: Make, make_entry: Make
) -> None:
    await place.operator.start()
    feeds = (["trades"], ["trades", "l1"], ["trades", "klines"], ["l1", "klines"], ["trades", "l1", "klines"])
    seen = set()
    for number, chosen in enumerate(feeds):
        await place.apply(make(make_entry("spot", feeds=chosen)))
        await place.until_ready()
        configs = {name for name in await place.names("configmaps") if not name.endswith("-symbols")}
        assert len(configs) >= min(number + 1, 2)
        seen |= configs
        mounted = {
            volume["configMap"]["name"]
            for each in await place.kube.items(place.path("replicasets"))
            for volume in each["spec"]["template"]["spec"]["volumes"]
            if "configMap" in volume
        }
        assert mounted <= await place.names("configmaps")

    async def pruned() -> bool:
        configs = {name for name in await place.names("configmaps") if not name.endswith("-symbols")}
        return len(configs) == 3  # the current one and the two that can be gone back to

    assert len(seen) == 5
    await eventually(pruned, 15)


async def test_an_entry_that_goes_is_pruned_and_a_persons_object_stays(
    place: Place, make: Make, make_entry: Make
) -> None:
    await place.operator.start()
    await place.apply(make(make_entry("spot"), make_entry("coin", "coinbase", "BTC-USD")))
    await place.until_ready()
    labels = (await place.get("services", "majors-metrics"))["metadata"]["labels"]
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "labels": labels}}
    await place.kube.apply(place.path("configmaps", "mine"), mine)

    await place.apply(make(make_entry("spot")))

    async def pruned() -> bool:
        configs = await place.names("configmaps")
        return await place.names("deployments") == {"majors-spot-0"} and len(configs) == 3

    await eventually(pruned, 15)
    assert "mine" in await place.names("configmaps")
    await place.until_ready()


async def test_paused_by_spec_or_annotation_nothing_is_touched(place: Place, make: Make, make_entry: Make) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    path = place.path("feedsets", "majors")
    for pause, resume in (
        ({"spec": {"paused": True}}, {"spec": {"paused": False}}),
        (
            {"metadata": {"annotations": {"feedplane.io/reconcile": "disabled"}}},
            {"metadata": {"annotations": {"feedplane.io/reconcile": None}}},
        ),
    ):
        await place.kube.patch(path, pause)

        async def paused() -> bool:
            return (await place.conditions())["Progressing"] == "False Paused"

        await eventually(paused, 5)
        await place.kube.patch(place.path("deployments", "majors-spot-0"), {"spec": {"minReadySeconds": 77}})
        await place.kube.delete(place.path("services", "majors-metrics"))
        await asyncio.sleep(3)
        assert (await place.get("deployments", "majors-spot-0"))["spec"]["minReadySeconds"] == 77
        assert await place.names("services") == set()

        await place.kube.patch(path, resume)

        async def resumed() -> bool:
            deployment = await place.get("deployments", "majors-spot-0")
            assert deployment["spec"].get("minReadySeconds", 0) == 0
            return await place.names("services") == {"majors-metrics"}

        await eventually(resumed, 10)
        await place.until_ready()


async def test_a_spec_that_makes_no_sense_keeps_the_last_good_running(
    place: Place, make: Make, make_entry: Make
) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    before = await place.get("deployments", "majors-spot-0")

    # two entries that collect the same: every field alone is well, so that the API server takes it
    await place.apply(make(make_entry("spot"), make_entry("again")))

    async def refused() -> bool:
        return (await place.conditions()).get("Accepted") == "False Invalid"

    await eventually(refused, 5)
    assert await place.names("deployments") == {"majors-spot-0"}
    assert (await place.get("deployments", "majors-spot-0"))["spec"] == before["spec"]
    assert "ConfigRejected" in await place.events()
    await asyncio.sleep(1)
    written = len(place.written())
    await asyncio.sleep(4)
    assert len(place.written()) == written  # and it is not tried again and again

    await place.apply(make(make_entry("spot")))
    await place.until_ready()
    assert (await place.conditions())["Accepted"] == "True Valid"


async def test_a_name_that_is_taken_is_told_and_not_taken_over(place: Place, make: Make) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "majors-metrics"},
        "spec": {"ports": [{"port": 1}]},
    }
    await place.kube.apply(place.path("services", "majors-metrics"), theirs)
    await place.operator.start()
    await place.apply(make())

    async def told() -> bool:
        return (await place.conditions()).get("Progressing") == "False ObjectsRefused"

    await eventually(told, 10)
    service = await place.get("services", "majors-metrics")
    assert [port["port"] for port in service["spec"]["ports"]] == [1]
    assert "ownerReferences" not in service["metadata"]
    assert await place.names("deployments") == {"majors-spot-0"}  # it keeps no other object from its due

    await place.kube.delete(place.path("services", "majors-metrics"))
    await place.until_ready()


async def test_deletion_drains_and_leaves_nothing(place: Place, make: Make) -> None:
    place.node.drain_s = 1.5
    left = {"exchange": "binance_spot", "feed": "trades", "records": 12}
    word = {"sink": "clickhouse", "drained": False, "declared": False, "remaining": [left]}
    place.node.last_word = json.dumps(word)
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    await place.kube.delete(place.path("feedsets", "majors"))

    async def waits() -> bool:
        return (await place.conditions()).get("Ready") == "False Terminating"

    async def gone() -> bool:
        assert await place.kube.get(place.path("feedsets", "majors")) is None
        left = {plural: await place.names(plural) for plural in ("deployments", "pods", "configmaps", "services")}
        assert not any(left.values()), left
        return True

    await eventually(waits, 5)
    assert await place.names("deployments") == {"majors-spot-0"}  # until its pods are gone
    await eventually(gone, 60)  # the collector learns of a new kind of owner every 30 s
    assert "DrainTimeout" not in await place.events()
    assert "Undrained" in await place.events()


async def test_a_drain_that_takes_too_long_is_told_and_lets_go(place: Place, make: Make) -> None:
    place.node.drain_s = 300.0
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    await place.kube.delete(place.path("feedsets", "majors"))

    async def let_go() -> bool:
        return await place.kube.get(place.path("feedsets", "majors")) is None

    await asyncio.sleep(15)
    assert not await let_go()
    await eventually(let_go, 25)
    assert "DrainTimeout" in await place.events()


async def test_what_a_lost_feedset_left_is_swept_at_start(place: Place, make: Make) -> None:
    """Its finalizer was taken away while no operator ran, and the garbage collector is told to spare what it had."""
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    await place.operator.stop()
    path = place.path("feedsets", "majors")
    await place.kube.patch(path, {"metadata": {"finalizers": None}})
    owned = [("configmaps", name) for name in await place.names("configmaps")]
    await place.kube.delete(path, propagationPolicy="Orphan")

    # orphaned objects have no owner any more: give one back that is gone, as if collection had not come to it yet
    lost = {
        "apiVersion": "feedplane.io/v1alpha1",
        "kind": "FeedSet",
        "name": "majors",
        "uid": "lost",
        "controller": True,
    }
    for plural, name in owned:
        await place.kube.patch(place.path(plural, name), {"metadata": {"ownerReferences": [lost]}})
    place.plane.pause_controllers()
    try:
        await place.operator.start()

        async def swept() -> bool:
            return not await place.names("configmaps")

        await eventually(swept, 15)
    finally:
        place.plane.resume_controllers()


async def test_a_held_rollout_waits_for_the_sink_and_force_overrides(
    place: Place, make: Make, make_entry: Make
) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    place.node.words["writer-redis"] = {
        "store": {"ok": False, "detail": "connection refused", "failing_for_ns": 60 * 10**9}
    }

    async def unhealthy() -> bool:
        return (await place.conditions())["SinksHealthy"] == "False SinkUnhealthy"

    async def held() -> bool:
        return (await place.conditions())["Progressing"] == "False SinkUnhealthy"

    await eventually(unhealthy, 30)
    await place.apply(make(make_entry("spot", feeds=["trades", "l1"])))
    await eventually(held, 10)
    assert (await place.get("deployments", "majors-spot-0"))["metadata"]["generation"] == 1
    assert "RolloutHeld" in await place.events()

    path = place.path("feedsets", "majors")
    await place.kube.patch(path, {"metadata": {"annotations": {"feedplane.io/rollout": "force"}}})

    async def rolled() -> bool:
        return bool((await place.get("deployments", "majors-spot-0"))["metadata"]["generation"] > 1)

    await eventually(rolled, 10)


async def test_the_quickstart_is_taken_as_it_is(place: Place, make: Make) -> None:
    await place.operator.start()
    quickstart: dict[str, Any] = yaml.safe_load((ROOT / "examples/quickstart.yaml").read_text())
    await place.apply(quickstart)
    await place.until_ready(quickstart["metadata"]["name"])


async def test_all_namespaces_are_served_where_it_is_told_so(place: Place, make: Make) -> None:
    role, binding = f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings"
    name = place.namespace
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR}
    await place.kube.call("POST", role, {"metadata": {"name": name}, "rules": ROLE["rules"]})
    await place.kube.call("POST", binding, {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})
    try:
        place.operator.environment["FEEDPLANE_OPERATOR_WATCH_NAMESPACES"] = '["*"]'
        await place.operator.start()
        await place.apply(make())
        await place.until_ready()
    finally:
        await place.operator.stop()
        await place.kube.delete(f"{binding}/{name}")
        await place.kube.delete(f"{role}/{name}")
