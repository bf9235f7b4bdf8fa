"""Coverage-guided fuzzing of one venue, in a process of its own: `python venue_fuzzer.py EXCHANGE SECONDS SEED FOLDER`.

An input is a byte that picks a door (frames, instruments, one of the REST bodies of the fixtures) and the payload that goes through it. What is wrong is written to
FOLDER/findings/ when it is found, once per place in the code, and the run goes on: libFuzzer ends the process where its time is up.
"""

from __future__ import annotations

import gc
import random
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import atheris
import orjson

with atheris.instrument_imports(include=["feedplane_core"]):
    from feedplane_core.adapter import Adapter, Request, Session, Tag
    from feedplane_core.errors import DecodeError
    from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
    from feedplane_core.names import NS_PER_S
    from feedplane_testing.checks import assert_sound
    from feedplane_testing.venues import Case, Venue

from mutation import mutated

MAX_INPUT_BYTES = 16_384
MAX_SECONDS_PER_INPUT = 5
MAX_GROWTH_BYTES = 64 << 20
START_NS = 1_800_000_000 * NS_PER_S
_STEP_NS = 1_000_000
_QUIET_NS = 60 * NS_PER_S  # before a look: what a session holds back for a while is over by then
_PAGE_BYTES = 4096
_PROBE_EVERY = 256  # inputs between two looks at whether the session still decodes
_WARM_UP = 8_192  # inputs before memory is measured: caches, interned texts and libFuzzer's tables are full by then
_MEASURE_EVERY = 4_096

Decode = Callable[[bytes], list[MarketEvent]]
Probe = Callable[[Session, int], None]


class Door:
    """One way into the adapter, the fixtures' payloads as its first inputs."""

    def __init__(self, name: str, seeds: list[bytes], decode: Decode) -> None:
        self.name, self.seeds, self.decode = name, seeds, decode


class Target:
    """The property: only `DecodeError` escapes, events are sound, the session stays usable and memory bounded."""

    def __init__(self, venue: Venue, findings: Path) -> None:
        self._venue, self._findings = venue, findings
        self._adapter: Adapter = venue.adapter()
        self._session: Session = self._adapter.session()
        self._probes = [probe for probe in map(partial(_probe, self._adapter), venue.feed_cases) if probe]
        self._recent: list[bytes] = []
        self._count = 0
        self._now_ns = START_NS
        self._baseline_bytes = 0
        self.doors = self._doors()

    def __call__(self, data: bytes) -> None:
        """Decode one input; never raises."""
        if not data:
            return
        door, payload = self.door_of(data), data[1:]
        self._now_ns += _STEP_NS
        try:
            self._check(door.decode(payload))
        except DecodeError:
            pass
        except Exception as error:
            self._report(door.name, [payload], error)
        if door is self.doors[0]:
            self._recent.append(payload)
        self._count += 1
        if self._count % _PROBE_EVERY == 0:
            self._check_usable()
        if self._count >= _WARM_UP and self._count % _MEASURE_EVERY == 0:
            self._check_memory()

    def door_of(self, data: bytes) -> Door:
        return self.doors[data[0] % len(self.doors)]

    def _doors(self) -> list[Door]:
        frames = [f.payload for case in self._venue.cases for f in case.frames]
        bodies = [a.body for case in self._venue.labelled("instruments") for a in case.answers]
        doors = [Door("frame", frames, self._decode_frame), Door("instruments", bodies, self._decode_instruments)]
        answers = [answer for case in self._venue.feed_cases for answer in case.answers]
        for url in sorted({answer.url for answer in answers}):
            tag = self._adapter.tag_of(url)
            if tag is not None and tag.kind != "instruments":
                seeds = [answer.body for answer in answers if answer.url == url]
                doors.append(Door(f"{tag.kind} {url}", seeds, partial(self._decode_body, url, tag)))
        return doors

    def _decode_frame(self, payload: bytes) -> list[MarketEvent]:
        try:
            return self._session.decode(payload, self._now_ns)
        finally:
            self._session.actions()  # as the collector does, else they add up

    def _decode_instruments(self, body: bytes) -> list[MarketEvent]:
        assert all(instrument.instrument for instrument in self._adapter.decode_instruments([body]))
        return []

    def _decode_body(self, url: str, tag: Tag, body: bytes) -> list[MarketEvent]:
        if tag.kind == "history":
            return self._adapter.decode_page(Request(url=url, tag=tag), body, self._now_ns).events
        return self._adapter.decode_body(tag, body, self._now_ns)

    @staticmethod
    def _check(events: list[MarketEvent]) -> None:
        for event in events:
            assert_sound(event)
            if isinstance(event, (BookSnapshot, DepthDiff)):
                for level in (*event.bids, *event.asks):
                    assert isinstance(level, (list, tuple)), level

    def _check_usable(self) -> None:
        """The next fixture still decodes; where it does not, the one frame that spoils it is looked for."""
        probe = self._probes[self._count // _PROBE_EVERY % len(self._probes)]
        recent, self._recent = self._recent, []
        self._now_ns += _QUIET_NS
        try:
            probe(self._session, self._now_ns)
        except (AssertionError, DecodeError) as error:
            guilty = next((frame for frame in recent if self._spoils(frame, probe)), None)
            self._report("session after", recent if guilty is None else [guilty], error)
            self._session = self._adapter.session()

    def _spoils(self, frame: bytes, probe: Probe) -> bool:
        session = self._adapter.session()
        with suppress(Exception):  # told where it came up; here only what it leaves behind counts
            session.decode(frame, self._now_ns)
        try:
            probe(session, self._now_ns + _QUIET_NS)
        except (AssertionError, DecodeError):
            return True
        return False

    def _check_memory(self) -> None:
        gc.collect()
        held = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        self._baseline_bytes = self._baseline_bytes or held
        if held - self._baseline_bytes > MAX_GROWTH_BYTES:
            error = MemoryError(f"{(held - self._baseline_bytes) >> 20} MiB more after {self._count} inputs")
            self._report("memory", [], error)

    def _report(self, door: str, payloads: list[bytes], error: Exception) -> None:
        """One file for each place in the code, that of the first input that led there."""
        places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)[-4:]]
        name = sha256(repr((type(error).__name__, door, places)).encode()).hexdigest()[:12]
        path = self._findings / f"{name}.json"
        if path.exists():
            return
        finding = {
            "exchange": self._venue.exchange,
            "door": door,
            "inputs_base64": [b64encode(payload).decode() for payload in payloads],
            "traceback": "".join(traceback.format_exception(error, limit=-6)),
        }
        path.write_bytes(orjson.dumps(finding, option=orjson.OPT_INDENT_2))


def _probe(adapter: Adapter, case: Case) -> Probe | None:
    """A check that `case` still decodes; `None` where a new session has no events of it.

    Not that it gives the same events: a candle closes the one before it, a trade comes once, so what bad frames said in good form may show.
    """
    frames = [frame.payload for frame in case.frames][:20]
    wanted = [_outcome(session, frame, START_NS) for session in [adapter.session()] for frame in frames]

    def check(session: Session, now_ns: int) -> None:
        found = [_outcome(session, frame, now_ns) for frame in frames]
        for frame, expected, outcome in zip(frames, wanted, found, strict=True):
            if isinstance(outcome, DecodeError) and not isinstance(expected, DecodeError):
                raise AssertionError(f"{case}: a good frame is refused: {frame[:200]!r}") from outcome
        assert any(isinstance(outcome, list) and outcome for outcome in found), f"{case}: no event comes any more"

    return check if any(isinstance(outcome, list) and outcome for outcome in wanted) else None


def _outcome(session: Session, frame: bytes, now_ns: int) -> list[MarketEvent] | DecodeError:
    try:
        return session.decode(frame, now_ns)
    except DecodeError as refusal:
        return refusal
    finally:
        session.actions()


def _write_seeds(target: Target, folder: Path) -> None:
    for number, door in enumerate(target.doors):
        for seed in door.seeds:
            data = bytes([number]) + seed
            (folder / sha256(data).hexdigest()[:16]).write_bytes(data)


def _mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
    """libFuzzer's hook: the door stays, its payload changes."""
    if len(data) < 2 or max_bytes < 2:
        return bytes(atheris.Mutate(data, max_bytes))
    return data[:1] + mutated(data[1:], max_bytes - 1, random.Random(seed), atheris.Mutate)


def main(exchange: str, seconds: str, seed: str, folder: str) -> None:
    """Never returns: libFuzzer ends the process."""
    corpus, seeds, findings = (Path(folder) / name for name in ("corpus", "seeds", "findings"))
    for path in (corpus, seeds, findings):
        path.mkdir(parents=True, exist_ok=True)
    venue = Venue(exchange)
    with atheris.instrument_imports(include=[f"feedplane_adapter_{exchange}"]):
        target = Target(venue, findings)  # imports the adapter
    _write_seeds(target, seeds)
    options = [
        f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={MAX_INPUT_BYTES}", f"-timeout={MAX_SECONDS_PER_INPUT}",
        "-rss_limit_mb=2048", "-detect_leaks=0", f"-artifact_prefix={findings}/", str(corpus), str(seeds),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], target, custom_mutator=_mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
