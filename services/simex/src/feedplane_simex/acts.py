"""Faults that are deeds: done once when their time comes, undone when they are lifted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from feedplane_core.dialect import StatusChanged
from feedplane_core.instruments import InstrumentStatus

from .faults import Fault
from .sockets import Socket
from .venue import VenueSim
from .wire import TEXT, deflate_bomb, frame_header

if TYPE_CHECKING:
    from .simulator import Simulator

_CONTINUATION, _FIN = 0, 0x80


def _sockets(sim: Simulator, fault: Fault) -> list[Socket]:
    return [
        socket
        for venue in sim.venues_of(fault)
        for socket in venue.sockets.values()
        if fault.socket is None or fault.socket == socket.number
    ]


def _cut(sim: Simulator, fault: Fault, now_ns: int) -> None:
    age_ns = fault.span_ns("age")
    for socket in _sockets(sim, fault):
        if now_ns - socket.opened_ns >= age_ns and fault.strikes():
            socket.close(fault.number_of("code"), "cut")
    fault.is_done = age_ns == 0


def _half_open(sim: Simulator, fault: Fault, now_ns: int) -> None:
    for socket in _sockets(sim, fault):
        socket.outbox.is_frozen = fault.strikes()
    fault.is_done = True


def _notice(sim: Simulator, fault: Fault, now_ns: int) -> None:
    if not fault.hits:
        for venue in sim.venues_of(fault):
            for socket in venue.sockets.values():
                if (fault.socket is None or fault.socket == socket.number) and fault.strikes():
                    venue.perform(socket, socket.peer.notice(now_ns), now_ns)
                    fault.warned.append(socket)
        fault.hits = max(fault.hits, 1)
    if now_ns - fault.from_ns >= fault.span_ns("grace"):
        for socket in fault.warned:
            socket.close(1001, "shutdown")
        fault.is_done = True


def _resend(sim: Simulator, fault: Fault, now_ns: int) -> None:
    for venue in sim.venues_of(fault):
        venue.resend(fault)
    fault.is_done = True


def _send_raw(sim: Simulator, fault: Fault, data: bytes) -> None:
    for socket in _sockets(sim, fault):
        if fault.strikes():
            socket.outbox.push_raw(data)
    fault.is_done = True


def _giant(sim: Simulator, fault: Fault, now_ns: int) -> None:
    size = fault.number_of("bytes")
    _send_raw(sim, fault, frame_header(size, TEXT) + b'{"giant":"' + b"x" * (size - 12) + b'"}')


def _fragments(sim: Simulator, fault: Fault, now_ns: int) -> None:
    count = max(2, fault.number_of("n"))
    body = bytes((TEXT, 1)) + b'"' + (bytes((_CONTINUATION, 1)) + b"x") * (count - 2)
    _send_raw(sim, fault, body + bytes((_FIN | _CONTINUATION, 1)) + b'"')


def _bomb(sim: Simulator, fault: Fault, now_ns: int) -> None:
    _send_raw(sim, fault, deflate_bomb(fault.number_of("bytes")))


def _renumber(sim: Simulator, fault: Fault, now_ns: int, jump: bool) -> None:
    for venue in sim.venues_of(fault):
        for market in venue.world.markets.values():
            if not fault.names(market.name) or not fault.strikes():
                continue
            venue.flush_depth_of(market.name, now_ns)
            if jump:
                market.renumber(market.seq + fault.number_of("n"))
                market.trade_number += fault.number_of("n")
            else:
                market.renumber(fault.number_of("to"))
    fault.is_done = True


def _list(sim: Simulator, fault: Fault, now_ns: int) -> None:
    for venue in sim.venues_of(fault):
        spare = [x for x in venue.spare_listings if fault.names(x.world_name)]
        if spare and fault.strikes():
            listing = spare[0]
            venue.spare_listings.remove(listing)
            venue.world.add(listing, now_ns)
            changed = StatusChanged(instrument=listing.world_name, ts_ns=now_ns, status=InstrumentStatus.TRADING)
            venue.tell(changed, now_ns)
    fault.is_done = True


def _set_status(sim: Simulator, fault: Fault, now_ns: int, status: InstrumentStatus) -> None:
    for venue in sim.venues_of(fault):
        for name in [n for n in venue.world.markets if fault.names(n)]:
            if fault.strikes():
                venue.tell(venue.world.set_status(name, status), now_ns)
    fault.is_done = True


def _flood(sim: Simulator, fault: Fault, now_ns: int) -> None:
    for venue in sim.venues_of(fault):
        sim.pacer_of(venue).flood = fault.number_of("x")
        fault.strikes()
    fault.is_done = True


def _skew(sim: Simulator, fault: Fault, now_ns: int) -> None:
    for venue in sim.venues_of(fault):
        venue.world.skew_ns = fault.span_ns("by")
        fault.strikes()
    fault.is_done = True


_ACTS: dict[str, Callable[[Simulator, Fault, int], None]] = {
    "cut": _cut,
    "half_open": _half_open,
    "notice": _notice,
    "resend": _resend,
    "giant": _giant,
    "fragments": _fragments,
    "deflate_bomb": _bomb,
    "seq_jump": lambda sim, fault, now_ns: _renumber(sim, fault, now_ns, jump=True),
    "seq_reset": lambda sim, fault, now_ns: _renumber(sim, fault, now_ns, jump=False),
    "list": _list,
    "delist": lambda sim, fault, now_ns: _set_status(sim, fault, now_ns, InstrumentStatus.DELISTED),
    "halt": lambda sim, fault, now_ns: _set_status(sim, fault, now_ns, InstrumentStatus.HALTED),
    "resume": lambda sim, fault, now_ns: _set_status(sim, fault, now_ns, InstrumentStatus.TRADING),
    "flood": _flood,
    "skew": _skew,
}


def perform(sim: Simulator, fault: Fault, now_ns: int) -> None:
    """Do what the fault asks for, unless it is done already."""
    if not fault.is_done:
        _ACTS[fault.name](sim, fault, now_ns)


def undo(sim: Simulator, fault: Fault) -> None:
    """Set right what a fault that is over leaves behind: floods end, clocks go right, halted instruments trade, frozen sockets are reset."""
    if not fault.is_done:
        return
    for venue in sim.venues_of(fault):
        if fault.name == "flood":
            sim.pacer_of(venue).flood = 1
        elif fault.name == "skew":
            venue.world.skew_ns = 0
        elif fault.name == "halt":
            _resume(venue, fault)
        elif fault.name == "half_open":
            for socket in [s for s in venue.sockets.values() if s.outbox.is_frozen]:
                socket.close(0, "half-open socket dropped")


def _resume(venue: VenueSim, fault: Fault) -> None:
    for name, market in venue.world.markets.items():
        if fault.names(name) and market.status is InstrumentStatus.HALTED:
            venue.tell(venue.world.set_status(name, InstrumentStatus.TRADING), venue.world.now_ns())
