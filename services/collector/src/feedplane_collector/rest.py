"""REST calls under the venue's weight budget, honouring 429, 418 and Retry-After."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping

from feedplane_core.adapter import Limits, Request
from feedplane_core.names import NS_PER_S
from feedplane_ops.counts import Tally
from feedplane_ops.ratelimit import WeightBudget

from feedplane_collector.http_client import AT_ONCE, Answer, BodyTooLarge, HttpClient, HttpFailed

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


def retry_after_s(headers: Mapping[str, str]) -> int | None:
    """What a refusal asks for, capped; `None` where it does not say so in seconds."""
    asked = headers.get("retry-after", "").strip()
    return min(int(asked), _MAX_PENALTY_S) if asked.isdecimal() else None


class RestClient:
    """Performs `Request`s of one venue. The body comes back with the receive time stamped before it is read.

    `clock` stamps; `timer` (the same if not given) runs the budget and must not be stepped.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], int],
        tls: ssl.SSLContext,
        answers: Tally,
        timer: Callable[[], int] | None = None,
    ) -> None:
        self._limits = limits
        self._timer = timer or clock
        self._answers = answers  # labels: (status or reason,)
        self._budget = WeightBudget(max(1, int(limits.rest_weight * _SHARE)), limits.rest_window_ns)
        self._http = HttpClient(tls, clock)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._blocked_until_ns = 0

    async def __aenter__(self) -> RestClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._http.close()

    async def fetch(self, request: Request) -> tuple[bytes, int]:
        """(body, receive time). Waits for its turn in the budget.

        Raises: RestFailed.
        """
        async with self._turns:
            await self._wait_for_budget(request.weight)
            answer = await self._call(request)
        self._answers.add((str(answer.status),))
        self._observe(answer)
        if answer.status != 200:
            raise self._refusal(request.url, answer)
        return answer.body, answer.recv_ns

    async def _call(self, request: Request) -> Answer:
        try:
            return await self._http.request(
                request.method,
                request.url,
                request.headers,
                request.body,
                max_body_bytes=request.max_body_bytes,
                within_s=_TIMEOUT_S,
            )
        except TimeoutError as e:
            self._answers.add(("timeout",))
            raise RestFailed(request.url, "timed out") from e
        except BodyTooLarge as e:
            self._answers.add((str(e),))
            raise RestFailed(request.url, str(e), retryable=False) from e
        except HttpFailed as e:
            self._answers.add((str(e),))
            raise RestFailed(request.url, str(e)) from e

    async def _wait_for_budget(self, weight: int) -> None:
        wait_ns = self._budget.reserve(min(weight, self._budget.limit), self._timer())
        while wait_ns > 0:
            await asyncio.sleep(wait_ns / NS_PER_S)
            wait_ns = self._blocked_until_ns - self._timer()  # a refusal may have come meanwhile: it is for all

    def _observe(self, answer: Answer) -> None:
        header = self._limits.used_weight_header
        used = answer.headers.get(header.lower(), "") if header else ""
        if used.isdecimal():
            self._budget.observe_used(int(used), self._timer())

    def _refusal(self, url: str, answer: Answer) -> RestFailed:
        if answer.status in RATE_LIMITED:
            seconds = retry_after_s(answer.headers)
            if seconds is None:
                seconds = _DEFAULT_PENALTY_S
            now_ns = self._timer()
            self._budget.penalise(seconds * NS_PER_S, now_ns)
            self._blocked_until_ns = max(self._blocked_until_ns, now_ns + seconds * NS_PER_S)
            logger.warning("rate limited by venue", extra={"status": answer.status, "retry_after_s": seconds})
            return RestFailed(url, "rate limited", status=answer.status)
        return RestFailed(url, f"http {answer.status}", status=answer.status, retryable=answer.status in RETRYABLE)
