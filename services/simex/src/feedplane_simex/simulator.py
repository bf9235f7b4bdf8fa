"""The simulator as a library: `async with Simulator(config) as sim: ...`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web
from feedplane_core.dialect import Dialect, Listing
from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_S

from . import acts
from .faults import Fault, FaultBoard, Scope
from .ledger import Ledger
from .pacing import Burst, Pacer
from .play import ReplayVenue, read_tape
from .server import VenueServer, control_routes
from .venue import VenueSim
from .world import World

ENTRY_POINT_GROUP = "feedplane.dialects"
_TICK_S = 0.003
_MIND_EVERY_NS = NS_PER_S // 2
_SPARE_LISTINGS = 50


class SimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation is to be. `rate` counts messages a second over all venues; 0 lets only timers speak."""

    exchanges: tuple[str, ...] = ()  # empty: every dialect that is installed
    symbols: tuple[str, ...] = ()  # `BTCUSDT` or `binance_spot:BTCUSDT`; empty: the first `instruments`
    instruments: int = 8
    seed: str = "1"
    rate: int = 200
    burst: str = ""
    ledger: Path | None = None
    keep_ledger: bool = False  # in memory, where there is no file
    faults: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    lifetime_s: float | None = None  # instead of the venues' own
    play: tuple[str, ...] = ()  # `FILE`, or `EXCHANGE=FILE` where several venues are simulated
    speed: float = 1.0  # of playing; 0: as fast as it is read
    play_wait_s: float = 10.0  # begin although subscriptions are missing


def installed_dialects() -> dict[str, EntryPoint]:
    """Every dialect that can be found, by exchange, not loaded yet."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def chosen_listings(dialect: Dialect, config: SimConfig) -> tuple[list[Listing], list[Listing]]:
    """What is listed from the start, and spare ones. Raises: UsageError for symbols no simulated venue lists."""
    known = dialect.listings(max(config.instruments, 12) + _SPARE_LISTINGS)
    names = [s.partition(":")[2] or s for s in config.symbols if ":" not in s or s.startswith(f"{dialect.exchange}:")]
    chosen = [listing for listing in known if listing.instrument in names]
    if not config.symbols:
        chosen = dialect.listings(config.instruments)
    taken = {listing.world_name for listing in chosen}
    return chosen, [listing for listing in known if listing.world_name not in taken]


class Simulator:
    """All chosen venues on one port, each below `/<exchange>`, with the control routes at the root."""

    def __init__(self, config: SimConfig, dialects: Sequence[Dialect] | None = None) -> None:
        self.config = config
        self.ledger = Ledger(config.ledger, keep=config.keep_ledger)
        self.faults = FaultBoard(config.seed)
        self.venues: dict[str, VenueSim] = {}
        self.base = ""
        self._dialects = list(dialects) if dialects is not None else self._installed()
        self._pacers: dict[str, Pacer] = {}
        self._servers: list[VenueServer] = []
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self._minded_ns = 0
        self._build()

    def _installed(self) -> list[Dialect]:
        found = installed_dialects()
        unknown = [name for name in self.config.exchanges if name not in found]
        if unknown:
            raise UsageError("--exchange", f"{unknown[0]!r} has no dialect", f"installed: {' '.join(sorted(found))}")
        dialects: list[Dialect] = [found[name].load()() for name in self.config.exchanges or sorted(found)]
        return dialects

    def _build(self) -> None:
        now_ns = time.time_ns()
        if not self._dialects:
            raise UsageError("--exchange", "no dialect is installed")
        burst = Burst(self.config.burst) if self.config.burst else None
        share, rest = divmod(self.config.rate, len(self._dialects))
        for place, dialect in enumerate(self._dialects):
            if paths := self._tapes_of(dialect):
                self._add_replay(dialect, paths, now_ns)
                continue
            listings, spare = chosen_listings(dialect, self.config)
            if not listings and self.config.symbols:
                continue
            seed = f"{self.config.seed}:{dialect.exchange}"
            world = World(listings, seed, now_ns, dialect.traits.seq_stride)
            self.venues[dialect.exchange] = VenueSim(dialect, world, self.ledger, self.faults, spare)
            self._pacers[dialect.exchange] = Pacer(share + (place < rest), burst, now_ns)
        listed = {m.listing.instrument for venue in self.venues.values() for m in venue.world.markets.values()}
        for symbol in self.config.symbols:
            if not self.config.play and symbol.rpartition(":")[2] not in listed:
                raise UsageError(
                    "--symbols", f"no simulated venue lists {symbol!r}", "leave it out to see which there are"
                )
        for spec in self.config.faults:
            self.add_fault(spec)

    def _tapes_of(self, dialect: Dialect) -> list[Path]:
        paths = []
        for entry in self.config.play:
            exchange, equals, path = entry.partition("=")
            if not equals and len(self._dialects) > 1:
                raise UsageError("--play", f"{entry}: which venue?", "name one --exchange, or write EXCHANGE=FILE")
            if not equals or exchange == dialect.exchange:
                paths.append(Path(path if equals else entry))
        return paths

    def _add_replay(self, dialect: Dialect, paths: list[Path], now_ns: int) -> None:
        tape = read_tape(dialect, paths)
        wait_ns = int(self.config.play_wait_s * NS_PER_S)
        venue = ReplayVenue(dialect, tape, self.ledger, self.faults, now_ns, self.config.speed, wait_ns)
        self.venues[dialect.exchange] = venue
        self._pacers[dialect.exchange] = Pacer(0, None, now_ns)

    # Life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, and set the worlds in motion."""
        app = web.Application(client_max_size=1 << 20)
        control_routes(self, app)
        for venue in self.venues.values():
            server = VenueServer(venue, self.faults, self.config.lifetime_s)
            server.routes(app)
            self._servers.append(server)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.config.host, self.config.port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base = f"{self.config.host}:{port}"
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Close every socket and the ledger; what was issued is on disk afterwards."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for server in self._servers:
            await server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self.ledger.close()

    async def wait(self) -> None:
        """Until the pacing loop ends: never, unless it fails, and then with its error."""
        if self._task is not None:
            await self._task

    @property
    def endpoints(self) -> dict[str, dict[str, str]]:
        """`Options.endpoints` for each exchange."""
        return {
            name: venue.dialect.endpoints(f"ws://{self.base}/{name}", f"http://{self.base}/{name}")
            for name, venue in self.venues.items()
        }

    @property
    def control_url(self) -> str:
        return f"http://{self.base}"

    @property
    def replays(self) -> dict[str, ReplayVenue]:
        """The venues that play recordings."""
        return {name: venue for name, venue in self.venues.items() if isinstance(venue, ReplayVenue)}

    # Pace

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.step(time.time_ns())

    def step(self, now_ns: int) -> None:
        """One tick of every venue: timers, acts, faults whose time has come, and then the bytes."""
        if self.faults.faults:
            self._mind_faults(now_ns)
        for name, venue in self.venues.items():
            pacer = self._pacers[name]
            pacer.advance(now_ns)
            pacer.spend(venue.tick(now_ns))
            is_heard = bool(venue.channels)
            for _ in range(pacer.acts_allowed(is_heard)):
                issued = venue.act(now_ns)
                pacer.spend(issued if is_heard else 1)
                if not pacer.due:
                    break
            venue.flush()
        if now_ns - self._minded_ns >= _MIND_EVERY_NS:
            self._minded_ns = now_ns
            for server in self._servers:
                server.mind(now_ns)
                server.venue.release_held()

    # Faults

    def add_fault(self, spec: str) -> Fault:
        """Raises: UsageError."""
        return self.faults.add(spec, time.time_ns())

    def clear_faults(self, number: int | None = None) -> int:
        """Lift one fault, or all; returns how many."""
        over = [f for f in self.faults.faults if number is None or f.number == number]
        for fault in over:
            acts.undo(self, fault)
        return self.faults.remove(number)

    def _mind_faults(self, now_ns: int) -> None:
        for fault in self.faults.live(Scope.ACT, now_ns):
            acts.perform(self, fault, now_ns)
        for fault in self.faults.expire(now_ns):
            acts.undo(self, fault)

    def venues_of(self, fault: Fault) -> list[VenueSim]:
        return [v for v in self.venues.values() if not fault.exchange or fault.exchange == v.exchange]

    def pacer_of(self, venue: VenueSim) -> Pacer:
        return self._pacers[venue.exchange]

    # For the judge

    def counts(self) -> dict[str, Any]:
        return {name: msgspec.structs.asdict(venue.counts) for name, venue in self.venues.items()}
