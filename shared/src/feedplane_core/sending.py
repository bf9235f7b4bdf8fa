"""What only the moment of sending knows: some venues refuse a frame that does not carry the time.

Frames are data, built long before they are written. One that has to carry the time holds `SEND_TIME_S` as a JSON text; whoever writes a frame to a socket passes it
through `stamped`.
"""

from __future__ import annotations

from .adapter import Frame
from .names import NS_PER_S

SEND_TIME_S = "$SEND_TIME_S"
"""Stands for epoch seconds at the time of writing: `{"time":"$SEND_TIME_S"}` is sent as `{"time":1795230000}`."""

_QUOTED = f'"{SEND_TIME_S}"'.encode()


def stamped(frame: Frame, now_ns: int) -> Frame:
    """The frame as it is to be written at `now_ns`."""
    return frame.replace(_QUOTED, b"%d" % (now_ns // NS_PER_S))
