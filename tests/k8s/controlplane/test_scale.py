"""Fifty FeedSets at once, and then silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from feedplane_testing.kube import Object, eventually

from .conftest import Place

Make = Callable[..., Object]
FEEDSETS = 50
CONVERGED_S = 60.0
IDLE_S = 65.0
MEMORY_BYTES = 150 << 20
CALLS_PER_MINUTE = 2.0
"""Of each FeedSet: watches and the look at a FeedSet that nothing was heard of."""


async def test_fifty_feedsets_converge_in_little_memory_and_then_nothing_is_written(
    place: Place, make: Make, make_entry: Make
) -> None:
    await place.operator.start()
    began = asyncio.get_running_loop().time()
    for number in range(FEEDSETS):
        symbols = [f"S{number}X{each}USDT" for each in range(200)]
        await place.apply(make(make_entry("spot", "binance_spot", *symbols), name=f"f{number}"))

    async def all_are(kind: str) -> bool:
        listed = await place.kube.items(place.path("feedsets"))
        true = [
            each["metadata"]["name"]
            for each in listed
            for condition in each.get("status", {}).get("conditions") or ()
            if condition["type"] == kind and condition["status"] == "True"
        ]
        assert len(true) == FEEDSETS, f"{kind}: {len(true)}"
        return True

    await eventually(lambda: all_are("Ready"), CONVERGED_S - (asyncio.get_running_loop().time() - began), every_s=1)
    converged_s = asyncio.get_running_loop().time() - began
    await eventually(lambda: all_are("SinksHealthy"), 40, every_s=1)  # every writer was heard
    await asyncio.sleep(5)
    written, calls = len(place.written()), len(place.audited())
    await asyncio.sleep(IDLE_S)

    memory = place.operator.memory_bytes()
    rate = (len(place.audited()) - calls) / FEEDSETS / IDLE_S * 60
    print(f"converged in {converged_s:.1f} s, {memory / 2**20:.0f} MiB, {rate:.2f} calls a minute of each FeedSet")
    assert place.written()[written:] == []
    assert memory <= MEMORY_BYTES
    assert rate <= CALLS_PER_MINUTE
