"""Frame files: what is written is read back, both formats are told apart, and a damaged line costs only itself."""

from __future__ import annotations

import gzip
from io import BufferedReader, BytesIO

from feedplane_core.frames import (
    BadLine,
    FrameReceived,
    FrameSent,
    RestAnswer,
    SocketOpened,
    answer_line,
    frame_line,
    merged,
    parse_lines,
    unzipped,
)
from hypothesis import given
from hypothesis import strategies as st

PAYLOADS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", b"base64:", b"GET x\ty", b"POST z\tw", b"a\nb", b"a\r", b"\t", b"\xff\x00", b"1: x"]),
)


@given(payloads=st.lists(PAYLOADS, max_size=8), recv_ns=st.integers(0, 2**63 - 1))
def test_frames_are_read_back_as_they_were_written(payloads: list[bytes], recv_ns: int) -> None:
    text = b"".join(frame_line(recv_ns, payload) for payload in payloads)

    records = list(parse_lines(BytesIO(text)))

    assert records == [FrameReceived(n, recv_ns, payload) for n, payload in enumerate(payloads, start=1)]


@given(body=PAYLOADS)
def test_answers_are_read_back_as_they_were_written(body: bytes) -> None:
    url = "https://fapi.binance.com/fapi/v1/depth?symbol=A&limit=5"

    assert list(parse_lines([answer_line(7, url, body)])) == [RestAnswer(1, 7, url, body)]
    assert list(parse_lines([answer_line(7, url, body, "POST")])) == [RestAnswer(1, 7, url, body, "POST")]


def test_capture_lines_are_read() -> None:
    lines = [
        b"wss://host/stream?streams=a@b <-> 1626992740.179554\n",
        b'wss://host <- 1626992740.2: {"op":"subscribe"}\n',
        b'1626992741.06217: {"stream":"a: b"}\n',
        b'https://host/depth?symbol=A -> 1626992741: {"bids":[]}\n',
        b'configuration: {"trades":["A"]}\n',
        b"\n",
    ]

    assert list(parse_lines(lines)) == [
        SocketOpened(1, 1626992740_179554000, "wss://host/stream?streams=a@b"),
        FrameSent(2, 1626992740_200000000, "wss://host", b'{"op":"subscribe"}'),
        FrameReceived(3, 1626992741_062170000, b'{"stream":"a: b"}'),
        RestAnswer(4, 1626992741_000000000, "https://host/depth?symbol=A", b'{"bids":[]}'),
    ]


def test_provenance_is_skipped_only_on_the_first_line() -> None:
    records = list(parse_lines([b'{"provenance":"recorded"}\n', b"1\tx\n", b'{"provenance":"recorded"}\n']))

    assert records[0] == FrameReceived(2, 1, b"x")
    assert isinstance(records[1], BadLine)
    assert (records[1].line, records[1].recv_ns) == (3, 1)


def test_damaged_lines_do_not_stop_the_file() -> None:
    records = list(parse_lines([b"1\tbase64:***\n", b"no stamp\n", b"2\t\xffok\n"]))

    assert [type(record) for record in records] == [BadLine, BadLine, FrameReceived]


def test_gzip_is_recognised() -> None:
    text = frame_line(1, b"a") + frame_line(2, b"b")

    for stored in (text, gzip.compress(text)):
        assert len(list(parse_lines(unzipped(BufferedReader(BytesIO(stored)))))) == 2


def test_files_of_one_time_merge_by_receipt() -> None:
    left = [FrameReceived(1, 1, b"a"), FrameReceived(2, 5, b"c")]
    right = [RestAnswer(1, 3, "u", b"b")]

    assert [record.recv_ns for record in merged(left, right)] == [1, 3, 5]
