"""Waiting for an event, with an end."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def set_within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `event`, `seconds` at most (`None`: as long as it takes); whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
