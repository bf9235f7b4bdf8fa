import asyncio
import time

from feedplane_ops.health import Health, Heartbeat, beat_event_loop

S = 1_000_000_000


class Clock:
    ns = 0

    def __call__(self) -> int:
        return self.ns


def test_without_checks_all_is_well() -> None:
    assert Health().live_reasons() == Health().ready_reasons() == []


def test_readiness_includes_liveness_but_not_the_reverse() -> None:
    health = Health()
    health.add_readiness("binance_futures", lambda: "no data for 12 s")
    assert health.live_reasons() == []
    assert health.ready_reasons() == ["binance_futures: no data for 12 s"]

    health.add_liveness("loop", lambda: "blocked")
    assert health.live_reasons() == ["loop: blocked"]
    assert health.ready_reasons() == ["loop: blocked", "binance_futures: no data for 12 s"]

    health.remove("loop")
    health.remove("binance_futures")
    assert health.ready_reasons() == []


def test_what_can_be_taken_away_again_holds_readiness_back_once() -> None:
    """A venue's outage must not turn a pod unready that has served, or a rollout never ends."""
    venue: dict[str, str | None] = {"books": "2 not synced", "sockets": None}
    health = Health()
    health.add_arrival("books", lambda: venue["books"])
    health.add_arrival("sockets", lambda: venue["sockets"])
    assert health.ready_reasons() == ["books: 2 not synced"]

    venue["books"], venue["sockets"] = None, "1 is down"
    assert health.ready_reasons() == ["sockets: 1 is down"]  # not each once: all at one moment
    assert health.notes() == []

    venue["sockets"] = None
    assert health.ready_reasons() == []

    venue["sockets"] = "1 is down"
    assert health.ready_reasons() == []
    assert health.notes() == ["sockets: 1 is down"]

    health.add_readiness("journal", lambda: "disk full")
    assert health.ready_reasons() == ["journal: disk full"]


def test_a_note_is_told_and_decides_nothing() -> None:
    health = Health()
    health.add_note("symbols", lambda: "X is not listed")

    assert health.ready_reasons() == []
    assert health.notes() == ["symbols: X is not listed"]


def test_a_check_that_raises_is_a_failed_check() -> None:
    health = Health()
    health.add_liveness("odd", lambda: str(1 // 0))

    assert health.live_reasons() == ["odd: check raised ZeroDivisionError"]


def test_heartbeat_goes_stale_and_recovers() -> None:
    clock = Clock()
    heartbeat = Heartbeat(5 * S, clock)
    clock.ns = 5 * S
    assert heartbeat.check() is None

    clock.ns = 7 * S
    assert heartbeat.check() == "no heartbeat for 7.0 s (limit 5.0 s)"

    heartbeat.beat()
    assert heartbeat.check() is None
    assert heartbeat.worst_gap_ns == 7 * S


async def test_a_blocked_event_loop_shows() -> None:
    heartbeat = Heartbeat(S // 2)
    beating = asyncio.create_task(beat_event_loop(heartbeat, every_s=0.005))
    try:
        await asyncio.sleep(0.02)
        assert heartbeat.check() is None
        time.sleep(0.6)  # noqa: ASYNC251 (the fault itself: code that does not give way)
        assert heartbeat.check() is not None
        await asyncio.sleep(0.02)
        assert heartbeat.check() is None
    finally:
        beating.cancel()
