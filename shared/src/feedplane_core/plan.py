"""Which socket carries which instrument: a stable placement, so that one symbol more or less touches one socket."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b


def place(loads: Mapping[str, int], capacity: int) -> dict[int, list[str]]:
    """Names (with their loads: streams each) spread over as few sockets as `capacity` allows: socket number -> its names, sorted; empty sockets are left out.

    Rendezvous hashing with capacity: a name goes to the socket it ranks highest among those with room, so with an unchanged number of sockets most names keep
    their place. Raises: ValueError if one name alone exceeds the capacity.
    """
    total = sum(loads.values())
    sockets = max(1, -(-total // capacity)) if loads else 0
    while True:
        placed = _place(loads, capacity, sockets)
        if placed is not None:
            return {number: names for number, names in enumerate(placed) if names}
        sockets += 1


def _place(loads: Mapping[str, int], capacity: int, sockets: int) -> list[list[str]] | None:
    placed: list[list[str]] = [[] for _ in range(sockets)]
    room = [capacity] * sockets
    for name in sorted(loads):
        load = loads[name]
        if load > capacity:
            raise ValueError(f"{name} needs {load} streams, a socket carries {capacity}")
        for index in sorted(range(sockets), key=lambda i: _rank(name, i), reverse=True):
            if room[index] >= load:
                placed[index].append(name)
                room[index] -= load
                break
        else:
            return None
    return placed


def _rank(name: str, index: int) -> bytes:
    return blake2b(f"{index}\x1f{name}".encode(), digest_size=8).digest()
