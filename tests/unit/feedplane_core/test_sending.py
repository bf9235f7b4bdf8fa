"""Frames that carry the time at which they are written."""

from __future__ import annotations

import json

from feedplane_core.sending import SEND_TIME_S, stamped


def test_the_time_of_writing_takes_the_place_of_its_name() -> None:
    frame = json.dumps({"time": SEND_TIME_S, "channel": "spot.ping"}).encode()

    assert json.loads(stamped(frame, 1_795_230_000_999_999_999)) == {"time": 1_795_230_000, "channel": "spot.ping"}
    assert json.loads(stamped(frame, 1_795_230_001_000_000_000))["time"] == 1_795_230_001


def test_all_other_frames_are_left_alone() -> None:
    frame = b'{"op":"subscribe","args":["SEND_TIME_S"]}'

    assert stamped(frame, 1) == frame
