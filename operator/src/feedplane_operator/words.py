"""What pods say of themselves: their `/status`, asked for over the pod network. Nothing of it goes through the API server.

A pod that does not answer says nothing, which is no fault by itself: a pod that starts, ends or hides behind a network
policy looks the same. So silence never holds or reports anything; only words do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import aiohttp

from feedplane_operator.observed import Words
from feedplane_operator.surroundings import Object

TIMEOUT_S: Final = 2.0
MAX_BYTES: Final = 1 << 20
MAX_AT_ONCE: Final = 32


class Listener:
    """Asks pods, at most `MAX_AT_ONCE` containers at a time over all FeedSets."""

    def __init__(self, session: aiohttp.ClientSession, ports: Mapping[str, int]) -> None:
        self._session = session
        self._ports = ports  # container name -> port of its /status
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def ask(self, pods: Iterable[Object]) -> dict[str, Words]:
        """Words by name of pod; every pod has an entry."""
        asked = list(pods)
        return dict(await asyncio.gather(*(self._ask_pod(pod) for pod in asked)))

    async def _ask_pod(self, pod: Object) -> tuple[str, Words]:
        name = str(pod["metadata"]["name"])
        address = pod.get("status", {}).get("podIP")
        running = [container for container in _running(pod) if container in self._ports] if address else []
        answers = await asyncio.gather(*(self._ask(str(address), self._ports[container]) for container in running))
        return name, {
            container: answer for container, answer in zip(running, answers, strict=True) if answer is not None
        }

    async def _ask(self, address: str, port: int) -> dict[str, Any] | None:
        host = f"[{address}]" if ":" in address else address
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                self._slots,
                self._session.get(f"http://{host}:{port}/status", timeout=timeout, allow_redirects=False) as response,
            ):
                raw = await response.content.read(MAX_BYTES)
                while len(raw) < MAX_BYTES and (more := await response.content.read(MAX_BYTES - len(raw))):
                    raw += more
                answer = json.loads(raw) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None


def _running(pod: Object) -> list[str]:
    """Containers that run, native sidecars included."""
    status = pod.get("status", {})
    listed = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return [str(each["name"]) for each in listed if "running" in (each.get("state") or {})]
