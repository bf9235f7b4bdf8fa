"""Frames that a strict client library reads back."""

from __future__ import annotations

import zlib

import pytest
from feedplane_simex.wire import BINARY, TEXT, deflate_bomb, frame_header
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader


def read(data: bytes) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    steps = Frame.parse(reader.read_exact, mask=False, max_size=None)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        frame: Frame = stop.value
        return frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_frames_of_every_length(length: int, opcode: int) -> None:
    frame = read(frame_header(length, opcode) + b"x" * length)

    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode(opcode), True, b"x" * length)


def test_a_bomb_is_small_until_it_is_opened() -> None:
    bomb = deflate_bomb(8 << 20)
    payload = bomb[4:] if bomb[1] == 126 else bomb[2:]

    assert len(bomb) < 20_000
    assert bomb[0] & 0x40
    assert len(zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")) == 8 << 20
