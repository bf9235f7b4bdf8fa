"""Hash slots of Redis Cluster. Pure.

Source: redis.io, "Redis cluster specification", sections "Key distribution model" and "Hash tags", read 2026-11-20.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, Final

SLOTS: Final = 16_384
Address = tuple[str, int]


def slot_of(key: bytes) -> int:
    """CRC16 (XMODEM) of the key, or of what its first braces hold, modulo 16384."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def primaries(answer: Sequence[Any], asked: Address) -> list[Address | None]:
    """The primary of each slot as CLUSTER SLOTS tells; `None` where no node serves it. A node without a host is the one that was asked."""
    owners: list[Address | None] = [None] * SLOTS
    for first, last, primary, *_ in answer:
        host = (primary[0] or b"").decode()
        address = (host if host not in {"", "?"} else asked[0], int(primary[1]))
        owners[first : last + 1] = [address] * (last - first + 1)
    return owners


def parse_address(text: str) -> Address:
    """`host:port` or `[v6]:port`."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def redirected(error: str, asked: Address) -> tuple[int, Address]:
    """Slot and address of `MOVED 3999 127.0.0.1:6381` or `ASK ...`; an empty host is the one that was asked."""
    _, slot, address = error.split(" ", 2)
    host, port = parse_address(address)
    return int(slot), (host or asked[0], port)
