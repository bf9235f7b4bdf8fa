"""B6: after a power cut at any moment, in any legal state of the disk, every group that was accepted is there, in order, and nothing else is."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from feedplane_journal.segments import Budget, CursorStore, JournalWriter
from feedplane_testing.disks import CrashLog, materialise
from feedplane_testing.journals import (
    AMPLE,
    META,
    Clock,
    UnsyncedFiles,
    batches_of,
    depth_diff,
    read_all,
    trade,
    trade_ids,
)

SEED = 20261121
GROUP = 5


def _commit(writer: JournalWriter, log: CrashLog, group: int) -> None:
    """A group of trades in one frame and diffs in another; promised only after `commit` returned."""
    first = group * GROUP
    events = [trade(first + i) for i in range(GROUP)] + [depth_diff(first + i, 8) for i in range(GROUP)]
    writer.append(batches_of(events), positions={"trades": first + GROUP - 1})
    writer.commit()
    log.promise(f"group {group}")


def _session(journal: Path, log: CrashLog, groups: range, budget: Budget = AMPLE) -> None:
    """Open, commit `groups` over several segments with a reader saving its cursor, and stop without closing anything."""
    clock = Clock()
    writer = JournalWriter(
        journal, meta=META, budget=budget, clock_ns=clock, files=log, sinks=["clickhouse"], roll_ns=10
    )
    writer.open()
    cursors = CursorStore(journal, "clickhouse", files=log)
    for group in groups:
        clock.advance(2 if group % 2 else 0)  # a new segment every other group
        _commit(writer, log, group)
        if group % 3 == 2:
            cursors.save(read_all(journal)[-1].end, {"through": group})
            log.promise(f"cursor {group}")
    cursors.close()
    writer._lock.release()


def _judge(state: Path, promised: list[str], last_issued: int) -> None:
    """Recover the state and hold it against what was promised."""
    writer = JournalWriter(
        state, meta=META, budget=AMPLE, clock_ns=Clock(), files=UnsyncedFiles(), sinks=["clickhouse"]
    )
    recovery = writer.open()
    cursors = CursorStore(state, "clickhouse", files=UnsyncedFiles())
    cursor = cursors.load()
    cursors.close()
    through = int(cursors.extra.get("through", -1))
    ids = trade_ids(read_all(state, cursor))
    end = (through + 1) * GROUP + len(ids)
    groups = [int(text.split()[1]) for text in promised if text.startswith("group")]
    saved = [int(text.split()[1]) for text in promised if text.startswith("cursor")]

    assert ids == list(range(end - len(ids), end)), "order kept, nothing twice, no hole"
    assert end >= (max(groups, default=-1) + 1) * GROUP, "an accepted group is gone"
    assert end <= last_issued + 1, "something that was never issued"
    assert recovery.positions.get("trades", -1) < end, "positions claim more than there is"
    assert through >= max(saved, default=-1), "a saved cursor is gone"

    writer.append(batches_of([trade(10_000)]))
    writer.commit()
    assert trade_ids(read_all(state))[-1] == 10_000, "a fresh event flows"
    writer.close()


def _judge_all(log: CrashLog, tmp_path: Path, variants: int, last_issued: int) -> int:
    rng = random.Random(SEED)
    seen: set[int] = set()
    for promised, files in log.crashes(rng, variants):
        fingerprint = hash((tuple(promised), tuple(sorted(files.items()))))
        if fingerprint in seen:
            continue
        seen.add(fingerprint)
        state = tmp_path / "state"
        materialise(state, files)
        state.mkdir(exist_ok=True)
        try:
            _judge(state, promised, last_issued)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; state {len(seen)}, promised {promised[-2:]}, files {sorted(files)}"
            ) from error
        shutil.rmtree(state)
    return len(seen)


def test_every_crash_state_keeps_what_was_accepted(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    log = CrashLog(journal)
    _session(journal, log, range(14))

    assert _judge_all(log, tmp_path, variants=170, last_issued=14 * GROUP - 1) >= 2_000


def test_a_crash_during_recovery_of_a_crash_loses_nothing_either(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    first = CrashLog(journal)
    _session(journal, first, range(3))
    last_segment = sorted(journal.glob("*.fpj"))[-1]
    last_segment.write_bytes(last_segment.read_bytes() + b"\xfeFP\xff torn")
    second = CrashLog(journal)
    for group in range(3):
        second.promise(f"group {group}")
    _session(journal, second, range(3, 6))

    assert _judge_all(second, tmp_path, variants=80, last_issued=6 * GROUP - 1) >= 200


def test_retention_under_a_tight_budget_never_costs_accepted_unread_rows(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    log = CrashLog(journal)
    _session(journal, log, range(12), Budget(max_bytes=1 << 20, retention_ns=0))
    assert len(list(journal.glob("*.fpj"))) < 7, "passed segments are gone"

    assert _judge_all(log, tmp_path, variants=40, last_issued=12 * GROUP - 1) >= 300


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_crash_states(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    log = CrashLog(journal)
    _session(journal, log, range(20))

    assert _judge_all(log, tmp_path, variants=600, last_issued=20 * GROUP - 1) >= 10_000
