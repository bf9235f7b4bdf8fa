"""Places, queues and bytes."""

from __future__ import annotations

import asyncio

import pytest
from feedplane_clickhouse_lite.admission import ByteBudget, Lane
from feedplane_clickhouse_lite.errors import ClickHouseError


async def test_places_are_given_in_order_and_the_queue_is_bounded() -> None:
    lane = Lane("queries", 1, 2)
    order: list[str] = []

    async def take(name: str) -> None:
        await lane.enter()
        order.append(name)

    await lane.enter()
    waiting = [asyncio.create_task(take(name)) for name in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(ClickHouseError) as error:
        await lane.enter()
    lane.leave()
    lane.leave()
    await asyncio.gather(*waiting)

    assert (error.value.code, error.value.http_status, error.value.retry_after_s) == (202, 503, 1)
    assert order == ["a", "b"]
    assert (lane.running, lane.queued) == (1, 0)


async def test_whoever_stops_waiting_loses_no_place() -> None:
    lane = Lane("queries", 1, 2)
    await lane.enter()
    given_up = asyncio.create_task(lane.enter())
    too_late = asyncio.create_task(lane.enter())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    lane.leave()  # hands the place to `too_late`, which is cancelled before it runs
    too_late.cancel()
    await asyncio.gather(given_up, too_late, return_exceptions=True)

    assert (lane.running, lane.queued) == (0, 0)


def test_bytes_beyond_the_budget_are_refused_and_not_counted() -> None:
    budget = ByteBudget(10)
    budget.take(8)
    with pytest.raises(ClickHouseError):
        budget.take(3)
    budget.take(2)
    budget.give_back(10)

    assert budget.held_bytes == 0
