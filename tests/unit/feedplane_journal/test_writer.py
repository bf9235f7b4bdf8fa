"""Group commits, segments, recovery at start, ownership, and disks that refuse."""

from __future__ import annotations

import base64
import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from feedplane_core.errors import JournalError, JournalFull, JournalLocked
from feedplane_core.journal import Frame, scan
from feedplane_core.names import Feed, Mode
from feedplane_journal.layout import crc32c, read_header
from feedplane_journal.segments import (
    JournalReader,
    JournalWriter,
    Pressure,
    SegmentMeta,
    list_segments,
)
from feedplane_testing.disks import FaultyFiles
from feedplane_testing.journals import (
    AMPLE,
    EXCHANGE,
    META,
    T0_NS,
    Clock,
    UnsyncedFiles,
    batches_of,
    commit_trades,
    depth_diff,
    open_writer,
    read_all,
    trade,
    trade_ids,
)


def test_a_group_is_one_sync_and_all_of_its_frames(tmp_path: Path) -> None:
    files = FaultyFiles()
    writer = open_writer(tmp_path, files=files)
    commit_trades(writer, 0, 1)
    before = files.syncs
    writer.append(batches_of([trade(1), depth_diff(1)]))
    writer.append(batches_of([trade(2)]))
    pending = writer.pending_bytes
    committed = writer.commit()

    assert files.syncs - before == 1
    assert (committed.rows, committed.bytes, committed.sequence, committed.shed) == (3, pending, 4, ())
    assert committed.position == read_all(tmp_path)[-1].end
    assert writer.pending_bytes == 0
    assert writer.commit().rows == 0


def test_segments_roll_by_age_and_size_but_never_empty(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock, roll_bytes=40_000)
    commit_trades(writer, 0, 10)
    clock.advance(61)
    writer.commit()
    clock.advance(61)
    writer.commit()
    assert len(list_segments(tmp_path)) == 2, "age rolls once, an empty segment stays"

    for group in range(1, 40):
        commit_trades(writer, group * 10, 10)
    writer.close()
    assert len(list_segments(tmp_path)) > 2
    assert all(file.path.stat().st_size <= 40_000 for file in list_segments(tmp_path))
    assert trade_ids(read_all(tmp_path)) == list(range(400))


def test_a_restart_goes_on_in_a_new_segment_with_the_next_sequence(tmp_path: Path) -> None:
    for session in range(3):
        writer = open_writer(tmp_path)
        assert writer.epoch == session + 1
        commit_trades(writer, session * 5, 5)
        writer.close()

    assert [f.sequence for f in read_all(tmp_path)] == [1, 2, 3]
    assert [s.index for s in list_segments(tmp_path)] == [1, 2, 3]
    assert len({s.uuid for s in list_segments(tmp_path)}) == 3


def test_positions_are_never_ahead_of_the_frames_and_recovery_gives_the_rest(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    for group in range(4):
        writer.append(batches_of([trade(group)]), positions={"last": group})
        writer.commit()
        clock.advance(61 if group == 1 else 0)
    writer.append(batches_of([trade(99)]), positions={"last": 99})  # never committed
    del writer._pending[:]
    writer.close()
    again = JournalWriter(tmp_path, meta=META, budget=AMPLE, clock_ns=clock, files=UnsyncedFiles())
    recovery = again.open()

    assert recovery.positions == {"last": 1}
    assert trade_ids(list(recovery.frames())) == [2, 3]
    again.close()


def test_positions_survive_restarts_that_write_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.append(batches_of([trade(1)]), positions={"last": 1})
    writer.commit()
    writer.close()
    for _ in range(2):
        writer = open_writer(tmp_path)
        writer.close()
    writer = open_writer(tmp_path)
    writer.append(batches_of([trade(2)]))
    writer.commit()
    writer.close()
    again = JournalWriter(tmp_path, meta=META, budget=AMPLE, clock_ns=Clock(), files=UnsyncedFiles())
    recovery = again.open()

    assert trade_ids(list(recovery.frames())) == [1, 2], "nobody gave positions since the start: all of it is told"
    again.close()


def test_the_header_says_whose_it_is_and_how_to_read_it(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 1)
    header, _ = read_header(list_segments(tmp_path)[0].path)

    assert (header.meta, header.epoch, header.index, header.first_sequence) == (META, 1, 1, 1)
    assert header.created_ns == T0_NS
    assert set(header.schemas) >= {"trade", "depth", "gap"}
    writer.close()


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        (SegmentMeta(exchange="okx", feedset="majors"), "exchange"),
        (SegmentMeta(exchange=EXCHANGE, feedset="majors", shard=1), "shard"),
        (SegmentMeta(exchange=EXCHANGE, feedset="majors", mode=Mode.SIM), "mode"),
        (SegmentMeta(exchange=EXCHANGE, feedset="minors"), "feedset"),
    ],
)
def test_another_owners_journal_is_refused_and_left_alone(tmp_path: Path, meta: SegmentMeta, field: str) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 1)
    writer.close()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    with pytest.raises(JournalError, match=f"belongs to {field}"):
        open_writer(tmp_path, meta=meta)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    open_writer(tmp_path).close()


def test_a_newer_schema_version_is_refused_by_writer_and_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedplane_journal.writer.SCHEMA_VERSION", 2)
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 1)
    writer.close()

    with pytest.raises(JournalError, match="schema version 2 is newer"):
        open_writer(tmp_path)
    with pytest.raises(JournalError, match="schema version 2 is newer"):
        JournalReader(tmp_path).read(None)


def test_a_second_writer_is_told_who_holds_the_journal(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    with pytest.raises(JournalLocked, match=f"held by process {os.getpid()}"):
        open_writer(tmp_path)
    writer.close()
    open_writer(tmp_path).close()


def test_a_writer_whose_lock_did_not_hold_stops_when_a_later_one_has_opened(tmp_path: Path) -> None:
    zombie = open_writer(tmp_path)
    commit_trades(zombie, 0, 1)
    (tmp_path / "lock").unlink()
    heir = open_writer(tmp_path)
    zombie.append(batches_of([trade(1)]))

    with pytest.raises(JournalError, match="epoch 2 has taken over from 1"):
        zombie.commit()
    commit_trades(heir, 2, 1)
    heir.close()
    zombie.close()
    assert trade_ids(read_all(tmp_path)) == [0, 2]


_WRITE_FOR_EVER = """
import sys
from pathlib import Path
from feedplane_testing.journals import AMPLE, META, Clock, commit_trades
from feedplane_journal.segments import JournalWriter

writer = JournalWriter(Path(sys.argv[1]), meta=META, budget=AMPLE, clock_ns=Clock())
writer.open()
for number in range(0, 1_000_000, 10):
    commit_trades(writer, number, 10)
    print(number + 10, flush=True)
"""


def test_a_killed_writer_leaves_no_lock_and_all_that_it_accepted(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        accepted = [process.stdout.readline() for _ in range(20)]
        process.kill()
        accepted += process.stdout.read().splitlines()
    open_writer(tmp_path).close()
    ids = trade_ids(read_all(tmp_path))

    assert ids == list(range(len(ids)))
    assert len(ids) >= int(accepted[-1]) >= 200


# -- disks that refuse


def test_short_writes_are_finished(tmp_path: Path) -> None:
    files = FaultyFiles()
    files.write_limit_bytes = 100
    writer = open_writer(tmp_path, files=files)
    commit_trades(writer, 0, 50)
    writer.close()

    assert trade_ids(read_all(tmp_path)) == list(range(50))


@pytest.mark.parametrize("room", [0, 1, 100, 1_000, 3_000])
def test_a_full_disk_keeps_the_group_and_writes_it_when_there_is_room(tmp_path: Path, room: int) -> None:
    files = FaultyFiles()
    writer = open_writer(tmp_path, files=files)
    commit_trades(writer, 0, 5)
    files.room_bytes = room
    writer.append(batches_of([trade(i) for i in range(5, 40)]))
    for _ in range(3):
        with pytest.raises(JournalFull, match="No space left"):
            writer.commit()
    assert writer.pressure() is Pressure.FULL
    assert trade_ids(read_all(tmp_path)) == [0, 1, 2, 3, 4], "nothing of the group is visible"
    assert list(tmp_path.glob("*.tmp")) == []

    files.room_bytes = None
    writer.append(batches_of([trade(40)]))
    assert writer.commit().rows == 36
    writer.close()
    assert trade_ids(read_all(tmp_path)) == list(range(41))


def test_what_is_given_up_on_a_full_disk_is_told_as_ranges(tmp_path: Path) -> None:
    files = FaultyFiles()
    writer = open_writer(tmp_path, files=files)
    commit_trades(writer, 0, 5)
    files.room_bytes = 0
    writer.append(batches_of([trade(7), trade(9), depth_diff(3), depth_diff(5)]))
    with pytest.raises(JournalFull):
        writer.commit()
    ranges = {shed.feed: shed for shed in writer.discard()}
    files.room_bytes = None
    commit_trades(writer, 10, 1)
    writer.close()

    assert (ranges[Feed.TRADES].rows, ranges[Feed.OB_DIFFS].rows) == (2, 2)
    assert ranges[Feed.TRADES].from_ns == T0_NS + 7_000
    assert ranges[Feed.TRADES].to_ns == T0_NS + 9_007
    assert (ranges[Feed.OB_DIFFS].from_seq, ranges[Feed.OB_DIFFS].to_seq) == (30, 59)
    assert trade_ids(read_all(tmp_path)) == [0, 1, 2, 3, 4, 10]


def test_an_offset_never_holds_two_contents_even_when_a_full_disk_took_back_frames(tmp_path: Path) -> None:
    """A reader may have seen a frame of a group that then found no room: what is written later must not stand in its place."""
    files = FaultyFiles()
    writer = open_writer(tmp_path, files=files)
    commit_trades(writer, 0, 5)
    end = read_all(tmp_path)[-1].end
    files.room_bytes = 2_000
    writer.append(batches_of([trade(i) for i in range(5, 40)]))
    with pytest.raises(JournalFull):
        writer.commit()
    writer.discard()
    files.room_bytes = None
    commit_trades(writer, 50, 1)
    writer.close()
    after = read_all(tmp_path)[-1].start

    assert after.uuid != end.uuid
    ghost = end.__class__(end.segment, end.offset + 1_000, end.uuid)
    assert trade_ids(read_all(tmp_path, ghost)) == [50], (
        "a cursor beyond what was taken back goes on in the next segment"
    )


def test_a_failed_sync_ends_the_writer(tmp_path: Path) -> None:
    files = FaultyFiles()
    writer = open_writer(tmp_path, files=files)
    commit_trades(writer, 0, 5)
    files.sync_error = errno.EIO
    writer.append(batches_of([trade(5)]))
    with pytest.raises(JournalError, match="Input/output error"):
        writer.commit()
    files.sync_error = None
    with pytest.raises(JournalError, match="failed before"):
        writer.commit()
    writer.close()
    assert trade_ids(read_all(tmp_path))[:5] == [0, 1, 2, 3, 4]


def test_a_suspect_segment_is_cut_back_to_its_last_accepted_byte(tmp_path: Path) -> None:
    class OneBadSync(FaultyFiles):
        def sync_data(self, fd: int) -> None:
            error, self.sync_error = self.sync_error, None
            if error is not None:
                raise OSError(error, os.strerror(error))

    files = OneBadSync()
    writer = open_writer(tmp_path, files=files)
    commit_trades(writer, 0, 5)
    files.sync_error = errno.EIO
    writer.append(batches_of([trade(5)]))
    with pytest.raises(JournalError, match="Input/output error"):
        writer.commit()
    writer.close()
    assert len(list(tmp_path.glob("*.suspect"))) == 1

    again = JournalWriter(tmp_path, meta=META, budget=AMPLE, clock_ns=Clock(), files=files)
    recovery = again.open()
    assert recovery.truncated is not None
    assert recovery.truncated.reason == "suspect"
    assert list(tmp_path.glob("*.suspect")) == []
    commit_trades(again, 6, 1)
    again.close()
    assert trade_ids(read_all(tmp_path)) == [0, 1, 2, 3, 4, 6]


def test_a_disk_that_cannot_be_recovered_is_not_written_to(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 5)
    writer.close()
    files = FaultyFiles()
    files.sync_error = errno.EIO

    with pytest.raises(JournalError):
        open_writer(tmp_path, files=files)
    assert len(list_segments(tmp_path)) == 1
    open_writer(tmp_path).close()


def test_a_path_that_is_no_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot open journal"):
        open_writer(tmp_path / "file")


def test_a_row_larger_than_a_frame_is_refused_alone(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, compression="none")
    refused = writer.append(batches_of([depth_diff(1, levels=270_000)]) + batches_of([trade(1)]))
    writer.commit()
    writer.close()

    assert [(r.record_type, r.row_count) for r in refused] == [("depth", 1)]
    assert trade_ids(read_all(tmp_path)) == [1]


@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_compressed_or_not_the_rows_are_the_same(tmp_path: Path, compression: str) -> None:
    [(_, batch)] = batches_of([depth_diff(i, 8) for i in range(500)])
    writer = open_writer(tmp_path, compression=compression)
    writer.append([("depth", batch)])
    size = writer.commit().bytes
    writer.close()

    assert read_all(tmp_path)[0].batch.equals(batch)
    assert (size < batch.nbytes) == (compression == "lz4")


def test_a_segment_is_readable_by_any_arrow_tool(tmp_path: Path) -> None:
    """Schema message from the header, payloads from the file, an end-of-stream mark: a valid Arrow IPC stream."""
    batches = [
        batches_of([depth_diff(i, 8) for i in range(first, first + count)])[0] for first, count in ((0, 3), (3, 400))
    ]
    writer = open_writer(tmp_path)
    for batch in batches:
        writer.append([batch])
        writer.commit()
    writer.close()
    [segment] = list_segments(tmp_path)
    data = segment.path.read_bytes()
    header, offset = read_header(segment.path)
    payloads = [part.payload for part in scan(data, offset, crc32c) if isinstance(part, Frame)]
    stream = base64.b64decode(header.schemas["depth"]) + b"".join(payloads) + b"\xff\xff\xff\xff\0\0\0\0"

    table = pa.ipc.open_stream(stream).read_all()
    assert table.equals(pa.Table.from_batches([batch for _, batch in batches]))
    assert len(payloads[1]) < batches[1][1].nbytes, "the large one is compressed"
