"""Whatever the API server, the network or a kill does to the operator, what is wanted comes to be, and nothing twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest
from aiohttp import web
from feedplane_testing.fault_proxy import FaultProxy
from feedplane_testing.kube import Object, eventually

from .conftest import Place

Make = Callable[..., Object]
OBJECTS = [
    ("serviceaccounts", "majors-collector"),
    ("networkpolicies", "majors-collectors"),
    ("services", "majors-metrics"),
    ("configmaps", "majors-spot-0-symbols"),
    ("deployments", "majors-spot-0"),
]


def is_write(request: web.Request) -> bool:
    return request.method in ("PATCH", "POST", "DELETE")


def is_watch(request: web.Request) -> bool:
    return request.query.get("watch") == "true"


def is_list(request: web.Request) -> bool:
    return "labelSelector" in request.query and not is_watch(request)


async def assert_whole(place: Place) -> None:
    """All there, applied once: one generation of the Deployment, one ReplicaSet, one pod."""
    await place.until_ready(within_s=30)
    for plural, name in OBJECTS:
        await place.get(plural, name)
    assert (await place.get("deployments", "majors-spot-0"))["metadata"]["generation"] == 1
    assert len(await place.names("replicasets")) == len(await place.names("pods")) == 1


@pytest.mark.parametrize("fault", [409, 429, 500, 503, "reset", "lost", "silence"])
async def test_writes_that_fail_are_made_in_the_end(
    place: Place, make: Make, proxy: FaultProxy, fault: int | str
) -> None:
    if fault == "silence":  # of a request that is never answered only its time-out, 30 s, tells
        armed = proxy.spoil(fault, lambda request: is_write(request) and "services/" in request.path, 1)
    else:
        armed = proxy.spoil(fault, lambda request: is_write(request) and not request.path.endswith("/events"), 8)
    await place.operator.start(proxy.url)
    await place.apply(make())

    await assert_whole(place)
    assert armed.hit == armed.times


@pytest.mark.parametrize("fault", [410, 429, 500, "reset"])
async def test_lists_and_watches_that_fail_are_begun_anew(
    place: Place, make: Make, proxy: FaultProxy, fault: int | str
) -> None:
    lists, watches = proxy.spoil(fault, is_list, 6), proxy.spoil(fault, is_watch, 12)
    if fault != 410:  # of FeedSets, which Kopf lists; a list has no version that could be gone
        proxy.spoil(fault, lambda request: request.path.endswith("/feedsets") and not is_watch(request), 5)
    await place.operator.start(proxy.url)
    await place.apply(make())

    await assert_whole(place)
    assert (lists.hit, watches.hit) == (6, 12)


async def test_a_deletion_is_seen_that_happened_while_no_watch_was_there(
    place: Place, make: Make, proxy: FaultProxy
) -> None:
    await place.operator.start(proxy.url)
    await place.apply(make())
    await place.until_ready()
    proxy.spoil("expired", is_watch, 100_000)  # from now on every watch has lost its place
    proxy.cut(is_watch)
    await place.kube.delete(place.path("services", "majors-metrics"))

    async def back() -> bool:
        return await place.names("services") == {"majors-metrics"}

    await eventually(back, 30)


async def test_the_server_is_away_for_a_while(place: Place, make: Make, make_entry: Make) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    place.plane.stop_server()
    await asyncio.sleep(20)
    assert place.operator.process is not None
    assert place.operator.process.returncode is None
    place.plane.start_server()

    await place.apply(make(make_entry("spot", "binance_spot", "SOLUSDT")))

    async def followed() -> bool:
        return "SOLUSDT" in (await place.get("configmaps", "majors-spot-0-symbols"))["data"]["symbols.json"]

    await eventually(followed, 30)
    await assert_whole(place)


async def test_killed_at_each_write_it_goes_on_where_it_was(place: Place, make: Make, proxy: FaultProxy) -> None:
    """Killed once before and once after each of its writes, from the first to the last it needs.

    Events apart: they come before the status, and who is always killed at the first write never gets past them.
    """
    await place.apply(make())
    kills = 0
    for number in range(40):
        kind = "hold" if number % 2 == 0 else "done"
        proxy.spoil(kind, lambda request: is_write(request) and "/events" not in request.path, 1)
        await place.operator.start(proxy.url)
        struck = await _struck_or_ready(place, proxy)
        await place.operator.stop(signal.SIGKILL)
        proxy.disarm()
        if not struck:
            break
        kills += 1
    assert 16 <= kills < 40  # the finalizer, six objects, the pod's annotation, the status; each before and after

    await place.operator.start()
    await assert_whole(place)


async def _struck_or_ready(place: Place, proxy: FaultProxy) -> bool:
    async def ended() -> str:
        if proxy.struck.is_set():
            return "struck"
        conditions = (await place.get("feedsets", "majors")).get("status", {}).get("conditions") or ()
        is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return "ready" if is_ready else ""

    return bool(await eventually(ended, 40) == "struck")


async def test_killed_in_a_rollout_and_in_a_deletion(place: Place, make: Make, make_entry: Make) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()

    place.node.is_ready = False  # the new pod takes its time
    await place.apply(make(make_entry("spot", feeds=["trades", "l1"])))

    async def begun() -> bool:
        return len(await place.names("replicasets")) == 2

    await eventually(begun, 10)
    await place.operator.stop(signal.SIGKILL)
    place.node.is_ready = True
    await place.operator.start()
    await place.until_ready()
    assert (await place.get("deployments", "majors-spot-0"))["metadata"]["generation"] == 2
    assert len(await place.names("replicasets")) == 2  # no second rollout

    place.node.drain_s = 4.0
    await place.kube.delete(place.path("feedsets", "majors"))

    async def draining() -> bool:
        pods = await place.kube.items(place.path("pods"))
        return any("deletionTimestamp" in each["metadata"] for each in pods)

    await eventually(draining, 10)
    await place.operator.stop(signal.SIGKILL)
    assert await place.kube.get(place.path("feedsets", "majors")) is not None
    await place.operator.start()

    async def gone() -> bool:
        return await place.kube.get(place.path("feedsets", "majors")) is None and not await place.names("pods")

    await eventually(gone, 20)


async def test_it_waits_for_its_definition_and_says_so(place: Place, make: Make) -> None:
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/feedsets.feedplane.io"
    definition = await place.kube.get(crd)
    assert definition is not None
    await place.kube.delete(crd)
    await eventually(lambda: _is_gone(place, crd))
    try:
        await place.operator.start()
        await asyncio.sleep(4)
        assert place.operator.process is not None
        assert place.operator.process.returncode is None
        assert any("is the CRD installed" in line["event"] for line in place.operator.lines)
    finally:
        fresh = {key: definition[key] for key in ("apiVersion", "kind", "spec")} | {
            "metadata": {"name": definition["metadata"]["name"]}
        }
        await place.kube.call("POST", crd.rpartition("/")[0], fresh)
    await eventually(lambda: place.kube.get(place.path("feedsets")), 15)
    await place.apply(make())
    await place.until_ready()


async def _is_gone(place: Place, path: str) -> bool:
    return await place.kube.get(path) is None


async def test_it_stops_promptly_when_told(place: Place, make: Make) -> None:
    await place.operator.start()
    await place.apply(make())
    await place.until_ready()
    began = asyncio.get_running_loop().time()

    assert await place.operator.stop() == 0
    assert asyncio.get_running_loop().time() - began < 5
