import gc
import weakref
from collections.abc import Iterator

import pytest
from feedplane_ops.gc import GcPacer


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        self.ns += 10
        return self.ns


class Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pacer(clock: Clock) -> Iterator[GcPacer]:
    pacer = GcPacer(clock, young_objects=2_000, full_every_ns=1_000_000)
    pacer.freeze()
    yield pacer
    pacer.thaw()


def test_nothing_is_collected_before_it_is_time(pacer: GcPacer) -> None:
    dead = weakref.ref(Cycle())

    assert pacer.between_batches() == 0
    assert dead() is not None
    assert pacer.passes == 0


def test_many_young_objects_bring_a_young_pass(pacer: GcPacer) -> None:
    dead = weakref.ref(Cycle())
    hold = [Cycle() for _ in range(2_500)]

    assert pacer.between_batches() == 10  # two readings of this clock lie 10 ns apart
    assert dead() is None
    assert (pacer.passes, pacer.pause_ns_total, pacer.pause_ns_max) == (1, 10, 10)
    assert len(hold) == 2_500


def test_once_in_a_while_everything_is_collected(pacer: GcPacer, clock: Clock) -> None:
    old = Cycle()
    gc.collect(1)  # now it belongs to the oldest generation
    dead = weakref.ref(old)
    del old
    clock.ns += 1_000_000

    assert pacer.between_batches() > 0
    assert dead() is None
    assert pacer.between_batches() == 0


def test_start_up_objects_are_frozen_and_the_interpreter_stays_as_backstop() -> None:
    before = gc.get_threshold()
    pacer = GcPacer()
    pacer.freeze()
    try:
        assert gc.get_freeze_count() > 1_000
        assert gc.isenabled()
        assert gc.get_threshold()[0] > 100_000
    finally:
        pacer.thaw()

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
