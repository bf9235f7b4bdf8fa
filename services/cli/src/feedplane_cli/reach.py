"""Whether the venues can be reached at all: asked before a plane starts, so that nobody waits on a table that stays empty."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from feedplane_cli.adapters import load_adapter
from feedplane_cli.http import get

_TIMEOUT_S = 6.0


async def unreachable(exchanges: set[str]) -> dict[str, str]:
    """Exchange -> why, for those whose instruments cannot be had. Answers within about seven seconds."""
    names = sorted(exchanges)
    reasons = await asyncio.gather(*(_reason(name) for name in names))
    return {name: reason for name, reason in zip(names, reasons, strict=True) if reason is not None}


async def _reason(exchange: str) -> str | None:
    request = load_adapter(exchange).instruments_requests()[0]
    host = urlsplit(request.url).hostname
    try:
        async with asyncio.timeout(_TIMEOUT_S + 1):
            await asyncio.to_thread(get, request.url, timeout_s=_TIMEOUT_S)
    except TimeoutError:
        return f"{host}: no answer in {_TIMEOUT_S:.0f} s"
    except OSError as e:
        return f"{host}: {getattr(e, 'reason', e)}"
    return None
