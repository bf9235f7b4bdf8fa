"""What writers say when they end: termination messages of their containers, read from pods that go. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from feedplane_feedset.sinks import SinkName

from feedplane_operator.surroundings import Object

_SHOWN: Final = 4


def undrained(pod: Object) -> str:
    """What a pod's writers could not store before they ended; empty where there is nothing to tell.

    Redis is left out: it holds newest values, which a successor writes anew, so that nothing is lost there.
    """
    words = [word for word in _last_words(pod) if not word.get("drained", True) and word.get("sink") != SinkName.REDIS]
    return "; ".join(_told(word) for word in words)


def _last_words(pod: Object) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        message = ((each.get("state") or {}).get("terminated") or {}).get("message")
        try:
            word = json.loads(message or "null")
        except ValueError:  # of a container that says something else than writers do
            continue
        if isinstance(word, Mapping):
            yield word


def _told(word: Mapping[str, Any]) -> str:
    entries = [each for each in word.get("remaining") or () if isinstance(each, Mapping)]
    parts = [f"{each.get('records')} records of {each.get('exchange')} {each.get('feed')}" for each in entries[:_SHOWN]]
    more = len(entries) - _SHOWN + int(word.get("more") or 0)
    listed = ", ".join(parts) + (f" and {more} more feeds" if more > 0 else "")
    fate = "declared as gaps" if word.get("declared") else "not declared"
    return f"{word.get('sink')} did not store {listed or 'all'} ({fate})"
