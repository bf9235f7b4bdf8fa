"""C10: whatever comes, only `DecodeError` goes, no unsound event either, and the session stays usable.

500 frames a venue by default; FEEDPLANE_FUZZ_FRAMES=10000 for a long run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import orjson
from feedplane_core.errors import DecodeError
from feedplane_core.frames import FrameReceived, Replay
from feedplane_core.names import NS_PER_S
from feedplane_testing.checks import assert_sound
from feedplane_testing.venues import Venue, output_lines

FRAMES = int(os.environ.get("FEEDPLANE_FUZZ_FRAMES", "500"))
CODES = frozenset(
    (
        "json",
        "schema",
        "number",
        "number_range",
        "unknown_channel",
        "unknown_instrument",
        "contract_size",
        "checksum",
        "venue_error",
        "compression",
        "too_large",
    )
)
RECV_NS = 1_800_000_000 * NS_PER_S

Mutation = Callable[[bytes, random.Random], bytes]


def _cut(frame: bytes, rng: random.Random) -> bytes:
    return frame[: rng.randrange(len(frame))]


def _scramble(frame: bytes, rng: random.Random) -> bytes:
    mutable = bytearray(frame)
    for _ in range(rng.randint(1, 8)):
        mutable[rng.randrange(len(mutable))] = rng.randrange(256)
    return bytes(mutable)


def _splice(frame: bytes, rng: random.Random) -> bytes:
    at, until = sorted(rng.randrange(len(frame)) for _ in range(2))
    return frame[:at] + frame[until:] + frame[at:until]


_STRANGE = (
    b"null", b"true", b"-1", b"0", b"[]", b"{}", b'""', b'"x"', b"1e400", b"-1e400", b"NaN", b"Infinity", b'"NaN"', b'"Infinity"',
    b'"1e400"', b'"-0"', b'"1e-30"', b"99999999999999999999999999", b'"99999999999999999999999999"', b"[[]]", b'[["1"]]', b'[["1","2","3","4"]]',
    b'[[null,"1"]]', b'[[1,2]]', b'"\\u0000"', b'"\xff"', b"1.5", b'" 1"', b'"1_000"', b'"0x10"', '"١"'.encode(), b'"-5"',
)  # fmt: skip


def _wrong_value(frame: bytes, rng: random.Random) -> bytes:
    """One value of the JSON, anywhere in it, replaced by a strange one."""
    try:
        document = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return _scramble(frame, rng)
    places = list(_places(document))
    if not places:
        return rng.choice(_STRANGE)
    container, key = rng.choice(places)
    container[key] = "@@strange@@"
    return orjson.dumps(document).replace(b'"@@strange@@"', rng.choice(_STRANGE))


def _missing_key(frame: bytes, rng: random.Random) -> bytes:
    try:
        document = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return _cut(frame, rng)
    places = list(_places(document))
    if places:
        container, key = rng.choice(places)
        del container[key]
    return orjson.dumps(document)


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value inside."""
    if isinstance(node, dict):
        here = [(node, key) for key in node]
        return here + [place for value in node.values() for place in _places(value)]
    if isinstance(node, list):
        return [(node, i) for i in range(len(node))] + [place for value in node for place in _places(value)]
    return []


def _duplicate_keys(frame: bytes, rng: random.Random) -> bytes:
    strange = rng.choice(_STRANGE)
    return frame.replace(b"{", b'{"data":' + strange + b',"e":' + strange + b',"p":' + strange + b",", 1)


def _deep(frame: bytes, rng: random.Random) -> bytes:
    depth = rng.choice((50, 5_000, 100_000))
    nested = b"[" * depth + b"]" * depth if rng.random() < 0.5 else b'{"data":' * depth + b"1" + b"}" * depth
    return nested if rng.random() < 0.5 else frame[:-1] + b',"deep":' + nested + b"}"


def _huge(frame: bytes, rng: random.Random) -> bytes:
    filler = b"9" * (1 << 20)
    return rng.choice(
        (
            filler,
            b'"' + filler + b'"',
            frame[:-1] + b',"pad":"' + filler + b'"}',
            frame.replace(b'"1', b'"1' + filler, 1),
        )
    )


def _not_utf8(frame: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(frame))
    return frame[:at] + rng.choice((b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x00")) + frame[at:]


def _noise(frame: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b" ", b"null", b"[]", b"{}", b"0", b'""', b"pong", rng.randbytes(rng.randrange(1, 200))))


MUTATIONS: tuple[Mutation, ...] = (
    _cut, _scramble, _scramble, _splice, _wrong_value, _wrong_value, _wrong_value, _missing_key, _duplicate_keys, _deep, _not_utf8, _noise,
)  # fmt: skip


def mutated(frames: list[bytes], count: int, seed: int) -> list[bytes]:
    """`count` broken frames; one in a hundred is of 1 MiB."""
    rng = random.Random(seed)
    broken = []
    for number in range(count):
        mutation = _huge if number % 100 == 99 else rng.choice(MUTATIONS)
        broken.append(mutation(rng.choice(frames), rng))
    return broken


def _small_frames(venue: Venue) -> list[bytes]:
    frames = [f.payload for case in (*venue.feed_cases, *venue.labelled("acks")) for f in case.frames]
    return [frame for frame in frames if 2 < len(frame) < 20_000]


def test_c10_broken_frames_raise_only_decode_errors(venue: Venue) -> None:
    session = venue.adapter().session()
    refused = 0
    for frame in mutated(_small_frames(venue), FRAMES, seed=1):
        try:
            events = session.decode(frame, RECV_NS)
        except DecodeError as error:
            refused += 1
            _check_refusal(error)
        else:
            for event in events:
                assert_sound(event)
    assert refused > FRAMES // 3


def _check_refusal(error: DecodeError) -> None:
    assert error.code in CODES, error.code
    assert error.channel
    assert len(str(error)) < 2_000, "an error must not carry the frame"


def test_c10_session_stays_usable(venue: Venue) -> None:
    """After the flood, every frame of the fixtures still decodes as on a new session."""
    replay = Replay(venue.adapter())
    for frame in mutated(_small_frames(venue), FRAMES // 5, seed=2):
        replay.feed(FrameReceived(0, RECV_NS, frame))
    for case in venue.feed_cases:
        assert output_lines(map(replay.feed, case.records)) == output_lines(venue.decode(case))


def test_c10_broken_bodies_raise_only_decode_errors(venue: Venue) -> None:
    replay = Replay(venue.adapter())
    answers = [a for case in venue.feed_cases for a in case.answers if len(a.body) > 2]
    rng = random.Random(3)
    for number in range(FRAMES // 5 if answers else 0):
        answer = rng.choice(answers)
        body = rng.choice(MUTATIONS)(answer.body, rng)
        tag = venue.adapter().tag_of(answer.url)
        assert tag is not None, answer.url
        outcome = replay.feed(type(answer)(number, RECV_NS, answer.url, body))
        for event in outcome.events:
            assert_sound(event)


def test_c10_broken_instruments_raise_only_decode_errors(venue: Venue) -> None:
    adapter = venue.adapter()
    answers = [a for case in venue.labelled("instruments") for a in case.answers]
    rng = random.Random(4)
    assert answers
    for _ in range(FRAMES // 5):
        body = rng.choice(MUTATIONS)(rng.choice(answers).body, rng)
        try:
            found = adapter.decode_instruments([body])
        except DecodeError as error:
            _check_refusal(error)
        else:
            assert all(instrument.instrument for instrument in found)
