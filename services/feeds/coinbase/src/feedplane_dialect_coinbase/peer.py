"""One client socket of the Exchange feed: subscribe, unsubscribe, and the list of subscriptions that answers both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from feedplane_core.dialect import Answer, Close, Message, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_S

FIRST_FRAME_WITHIN_NS = 5 * NS_PER_S
_ALIASES = {"level2_50": "level2_batch", "ticker_1000": "ticker_batch"}
_KEYED = frozenset({"level2", "level3", "full", "user", "balance", "rfq_matches"})
_PER_PRODUCT = frozenset({"level2_batch", "matches", "ticker", "ticker_batch", "heartbeat", "auctionfeed"})
_WITHOUT_PRODUCTS = frozenset({"status"})


class CoinbasePeer:
    """A topic is `channel:product`; `status` stands alone."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._products: dict[str, dict[str, None]] = {}  # by channel
        self._opened_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._opened_ns = now_ns
        return []

    def on_tick(self, now_ns: int) -> list[Step]:
        """The first frame must be a subscribe, within five seconds."""
        if not self._products and now_ns - self._opened_ns > FIRST_FRAME_WITHIN_NS:
            return [Close(1000, "No subscription")]
        return []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return _refuse("Malformed JSON", "")
        if not isinstance(request, Mapping) or request.get("type") not in ("subscribe", "unsubscribe"):
            return _refuse("Type has to be either subscribe or unsubscribe", "")
        try:
            wanted = dict(_wanted(request))
        except (TypeError, ValueError):
            return _refuse("Failed to subscribe", "channels are malformed")
        if request["type"] == "unsubscribe":
            return self._unsubscribe(wanted)
        return self._subscribe(wanted)

    def _subscribe(self, wanted: Mapping[str, list[str]]) -> list[Step]:
        for channel, products in wanted.items():
            if channel in _KEYED:
                return _refuse("Failed to subscribe", f"{channel} requires authentication")
            if channel not in _PER_PRODUCT | _WITHOUT_PRODUCTS:
                return _refuse("Failed to subscribe", f"{channel} is not a valid channel")
            unknown = [product for product in products if product not in self._venue.markets]
            if unknown:
                return _refuse("Failed to subscribe", f"{unknown[0]} is not a valid product")
            if channel in _PER_PRODUCT and not products:
                return _refuse("Failed to subscribe", f"{channel} needs product_ids")
        steps: list[Step] = []
        for channel, products in wanted.items():
            held = self._products.setdefault(channel, {})
            fresh = [product for product in products if product not in held]
            held.update(dict.fromkeys(fresh))
            steps += [Subscribe(f"{channel}:{product}") for product in fresh]
            if channel in _WITHOUT_PRODUCTS:
                steps.append(Subscribe(channel))
        return [self._list(), *steps]

    def _unsubscribe(self, wanted: Mapping[str, list[str]]) -> list[Step]:
        steps: list[Step] = []
        for channel, products in wanted.items():
            held = self._products.get(channel, {})
            for product in products or list(held):
                if held.pop(product, self) is None:
                    steps.append(Unsubscribe(f"{channel}:{product}"))
            if not held:
                self._products.pop(channel, None)
            if channel in _WITHOUT_PRODUCTS:
                steps.append(Unsubscribe(channel))
        return [*steps, self._list()]

    def _list(self) -> Answer:
        channels = [{"name": name, "product_ids": list(products)} for name, products in self._products.items()]
        return Answer(orjson.dumps({"type": "subscriptions", "channels": channels}))

    def wrap(self, topic: str, message: Message) -> bytes:
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        return []


def _wanted(request: Mapping[str, Any]) -> Iterable[tuple[str, list[str]]]:
    """(channel, products) of a request: names take the common `product_ids`, objects may bring their own.

    Raises: TypeError, ValueError for anything else.
    """
    common = _names(request.get("product_ids", []))
    for entry in request["channels"] if isinstance(request.get("channels"), list) else [None]:
        match entry:
            case str() as name:
                yield _ALIASES.get(name, name), common
            case {"name": str() as name, **rest}:
                yield _ALIASES.get(name, name), _names(rest.get("product_ids", common))
            case _:
                raise ValueError("no channel")


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("no list of names")
    return value


def _refuse(message: str, reason: str) -> list[Step]:
    body = {"type": "error", "message": message} | ({"reason": reason} if reason else {})
    return [Answer(orjson.dumps(body)), Close(1000, message)]
