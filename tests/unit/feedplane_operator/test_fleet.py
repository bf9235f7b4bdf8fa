"""Passes over one FeedSet never overlap, changes that come together make one, and trouble of one is not the others'."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from feedplane_operator import fleet as fleets
from feedplane_operator.errors import Unavailable
from feedplane_operator.fleet import Fleet, Outcome

KEY = ("n", "majors")


def body(version: int = 1, *, name: str = "majors", uid: str = "u", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name, "uid": uid, "resourceVersion": str(version), **metadata}}


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "SETTLE_S", 0.02)
    monkeypatch.setattr(fleets, "PAUSE_S", 0.01)
    monkeypatch.setattr(fleets, "_BASE_NS", 10_000_000)


class Passes:
    """Records passes; each takes a little, as real ones do."""

    def __init__(self) -> None:
        self.versions: list[str] = []
        self.running = 0
        self.most_at_once = 0
        self.troubles: list[Exception] = []
        self.again_s = 60.0

    async def __call__(self, given: dict[str, Any], _: int) -> Outcome:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.versions.append(given["metadata"]["resourceVersion"])
        await asyncio.sleep(0.02)
        self.running -= 1
        if self.troubles:
            raise self.troubles.pop()
        return Outcome("done", self.again_s, given)


async def test_changes_that_come_together_make_one_pass_with_the_newest() -> None:
    passes = Passes()
    fleet = Fleet(passes)
    for version in range(1, 8):
        fleet.notice(body(version))
    for _ in range(20):
        fleet.wake(KEY)
    await asyncio.sleep(0.2)
    await fleet.stop()

    assert passes.versions == ["7"]


async def test_passes_of_one_feedset_never_overlap_and_a_change_in_one_makes_another() -> None:
    passes = Passes()
    fleet = Fleet(passes)
    for version in range(1, 40):
        fleet.notice(body(version))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    await fleet.stop()

    assert passes.most_at_once == 1
    assert passes.versions[-1] == "39"


async def test_trouble_is_tried_again_and_others_go_on() -> None:
    passes = Passes()
    passes.troubles = [Unavailable(503, "ServiceUnavailable", "later"), RuntimeError("a bug")]
    fleet = Fleet(passes)
    fleet.notice(body())
    fleet.notice(body(name="minors", uid="v"))
    await asyncio.sleep(0.5)
    await fleet.stop()

    assert len(passes.versions) == 4


async def test_everything_is_looked_at_again_though_nothing_happens() -> None:
    passes = Passes()
    passes.again_s = 0.05
    fleet = Fleet(passes)
    fleet.notice(body())
    await asyncio.sleep(0.5)
    await fleet.stop()

    assert len(passes.versions) >= 3


async def test_after_closing_no_pass_runs_and_a_running_one_has_ended() -> None:
    passes = Passes()
    fleet = Fleet(passes)
    fleet.notice(body())
    await asyncio.sleep(0.03)
    await fleet.close(KEY)
    assert passes.running == 0
    done = len(passes.versions)

    fleet.wake(KEY)
    fleet.notice(body(9, deletionTimestamp="2026-01-01T00:00:00Z"))
    await asyncio.sleep(0.1)
    assert len(passes.versions) == done


async def test_a_feedset_that_took_the_name_of_another_gets_a_worker_of_its_own() -> None:
    passes = Passes()
    forgotten: list[Any] = []
    fleet = Fleet(passes, forgotten.append)
    fleet.notice(body(5))
    await asyncio.sleep(0.1)
    fleet.notice(body(3, uid="another"))  # versions of different objects are not compared
    await asyncio.sleep(0.1)
    await fleet.stop()

    assert passes.versions == ["5", "3"]
    assert forgotten[0] == KEY


async def test_a_pass_that_does_not_end_is_seen() -> None:
    async def never(_: dict[str, Any], __: int) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    fleet = Fleet(never)
    fleet.notice(body())
    await asyncio.sleep(0.1)
    assert fleet.stuck_for_ns() > 50_000_000
    await fleet.stop()
    assert fleet.stuck_for_ns() == 0
