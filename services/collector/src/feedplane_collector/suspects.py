"""Which channels may have lost something with a frame that could not be decoded. Pure.

The frame is broken, so this is a guess on the safe side: the channels whose instrument it names, narrowed by what the decoder took it for; all channels of the socket where
it names none. For a channel with numbers the next one settles the question; one without gets a hole, and a book that its numbers cannot prove is fetched anew: a book that
missed one change is wrong and looks right.
"""

from __future__ import annotations

from collections.abc import Sequence

from feedplane_core.adapter import Channel
from feedplane_core.errors import DecodeError

_NO_LOSS = frozenset({"unknown_channel", "unknown_instrument", "venue_error", "contract_size"})
"""Codes of frames that were understood, as something that is not followed."""
_LOOKED_AT_BYTES = 16 << 10


def suspects(channels: Sequence[Channel], error: DecodeError, frame: bytes) -> Sequence[Channel]:
    """Channels that the frame may have been of; none where nothing was lost."""
    if error.code in _NO_LOSS:
        return ()
    text = frame[:_LOOKED_AT_BYTES].lower()
    named = [channel for channel in channels if channel.instrument.lower().encode() in text] or channels
    kind = error.channel.lower()
    return [channel for channel in named if kind in channel.name.lower()] or named
