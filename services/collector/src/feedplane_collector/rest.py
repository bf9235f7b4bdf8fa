"""REST calls under the venue's weight budget: one at a time per budget slot, honouring 429, 418 and Retry-After."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

import aiohttp
from feedplane_core.adapter import Limits, Request
from feedplane_ops.counts import Tally
from feedplane_ops.ratelimit import WeightBudget

logger = logging.getLogger(__name__)

_TIMEOUT_S = 15.0
_DEFAULT_PENALTY_S = 30
_MAX_PENALTY_S = 4 * 3600
_SHARE = 0.9
"""Of a venue's budget that one collector plans to use: others may share the address."""
RATE_LIMITED = frozenset({418, 429})
RETRYABLE = frozenset({408, 425, 500, 502, 503, 504})


class RestFailed(Exception):
    """A call without a usable body. `retryable` says whether asking again can help; decided by status, never by text."""

    def __init__(self, url: str, reason: str, *, status: int | None = None, retryable: bool = True) -> None:
        super().__init__(f"{reason}: {url.partition('?')[0]}")
        self.reason = reason
        self.status = status
        self.retryable = retryable


class RestClient:
    """Performs `Request`s of one venue. The body comes back with the receive time stamped before it is read."""

    def __init__(self, limits: Limits, clock: Callable[[], int], tls: ssl.SSLContext, answers: Tally) -> None:
        self._limits = limits
        self._clock = clock
        self._tls = tls
        self._answers = answers  # labels: (status or reason,)
        self._budget = WeightBudget(max(1, int(limits.rest_weight * _SHARE)), limits.rest_window_ns)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> RestClient:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=8),
            headers={"User-Agent": "feedplane"},
            auto_decompress=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(self, request: Request) -> tuple[bytes, int]:
        """(body, receive time). Waits for its turn in the budget.

        Raises: RestFailed.
        """
        await self._wait_for_budget(request.weight)
        assert self._session is not None
        try:
            async with self._session.request(
                request.method, request.url, headers=dict(request.headers), data=request.body, allow_redirects=False
            ) as answer:
                recv_ns = self._clock()
                self._answers.add((str(answer.status),))
                self._observe(answer)
                if answer.status != 200:
                    raise self._refusal(request.url, answer)
                body = await answer.content.read(request.max_body_bytes + 1)
                while len(body) <= request.max_body_bytes and not answer.content.at_eof():
                    body += await answer.content.read(request.max_body_bytes + 1 - len(body))
        except TimeoutError as e:
            self._answers.add(("timeout",))
            raise RestFailed(request.url, "timed out") from e
        except aiohttp.ClientError as e:
            self._answers.add((type(e).__name__,))
            raise RestFailed(request.url, type(e).__name__) from e
        if len(body) > request.max_body_bytes:
            raise RestFailed(request.url, "body too large", retryable=False)
        return body, recv_ns

    async def _wait_for_budget(self, weight: int) -> None:
        wait_ns = self._budget.reserve(min(weight, self._budget.limit), self._clock())
        if wait_ns:
            await asyncio.sleep(wait_ns / 1e9)

    def _observe(self, answer: aiohttp.ClientResponse) -> None:
        header = self._limits.used_weight_header
        used = answer.headers.get(header, "") if header else ""
        if used.isdigit():
            self._budget.observe_used(int(used), self._clock())

    def _refusal(self, url: str, answer: aiohttp.ClientResponse) -> RestFailed:
        if answer.status in RATE_LIMITED:
            asked = answer.headers.get("Retry-After", "")
            seconds = min(int(asked), _MAX_PENALTY_S) if asked.isdigit() else _DEFAULT_PENALTY_S
            self._budget.penalise(seconds * 1_000_000_000, self._clock())
            logger.warning("rate limited by venue", extra={"status": answer.status, "retry_after_s": seconds})
            return RestFailed(url, "rate limited", status=answer.status)
        return RestFailed(url, f"http {answer.status}", status=answer.status, retryable=answer.status in RETRYABLE)
