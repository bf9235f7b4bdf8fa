"""Mutations that keep a message's form, so that inputs get past its JSON (or gzip) and reach the decoders behind it.

Byte mutations are left to libFuzzer: `mutate_bytes(data, max_bytes) -> bytes`.
"""

from __future__ import annotations

import copy
import random
import zlib
from collections.abc import Callable
from typing import Any

import orjson

BytesMutator = Callable[[bytes, int], bytes]

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 31
_MAX_UNZIPPED_BYTES = 1 << 18
_BYTES_SHARE = 0.35
"""Of all mutations: libFuzzer's own, which also splices what its comparisons have seen."""

_MARK = "@@value@@"
_STRANGE = (
    b"null", b"true", b"-1", b"0", b"-0", b"0.0", b"1.5", b"1e400", b"-1e400", b"1e-30", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"99999999999999999999999999", b"[]", b"{}", b"[[]]", b'[["1"]]', b'[["1","2","3"]]',
    b'[[null,"1"]]', b"[[1,2]]", b'["12"]', b'""', b'"x"', b'"0"', b'"-0"', b'"-5"', b'"+1"', b'".5"', b'"5."', b'"01"', b'" 1"', b'"1_000"', b'"0x10"',
    b'"1e5"', b'"1e-7"', b'"1e-30"', b'"1e400"', b'"NaN"', b'"Infinity"', b'"99999999999999999999999999"', b'"9223372036854775808"', b'"\\u0000"', b'"\\u0661"',
    b'"0.0000000000000000001"', b'"2026-02-30T00:00:00Z"', b'"0001-01-01T00:00:00Z"', b'"9999-12-31T23:59:59.999999999Z"',
)  # fmt: skip


def mutated(payload: bytes, max_bytes: int, rng: random.Random, mutate_bytes: BytesMutator) -> bytes:
    """A variant of `payload` of at most `max_bytes`; what was compressed stays compressed."""
    if payload.startswith(_GZIP_MAGIC) and rng.random() > 0.1:
        inner = _unzipped(payload)
        if inner:
            return _zipped(mutated(inner, 4 * max_bytes, rng, mutate_bytes))[:max_bytes]
    if rng.random() > _BYTES_SHARE:
        variant = _mutated_json(payload, rng)
        if variant is not None and len(variant) <= max_bytes:
            return variant
    return mutate_bytes(payload, max_bytes)


def _unzipped(payload: bytes) -> bytes:
    try:
        return zlib.decompressobj(_GZIP_WBITS).decompress(payload, _MAX_UNZIPPED_BYTES)
    except zlib.error:
        return b""


def _zipped(payload: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WBITS)
    return packer.compress(payload) + packer.flush()


def _mutated_json(payload: bytes, rng: random.Random) -> bytes | None:
    """One to three values replaced, removed, copied or respelled; `None` where there is no JSON with a value inside."""
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    for _ in range(rng.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return None
        container, key = rng.choice(places)
        match rng.randrange(5):
            case 0:
                container[key] = _MARK
            case 1:
                del container[key]
            case 2:
                source, name = rng.choice(places)
                container[key] = copy.deepcopy(source[name])
            case 3:
                container[key] = _respelled(container[key])
            case _:
                _repeat(container, key, rng)
    text = orjson.dumps(document)
    while (mark := b'"%b"' % _MARK.encode()) in text:
        text = text.replace(mark, rng.choice(_STRANGE), 1)
    return text


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value inside."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    return [(node, key) for key in keys] + [place for key in keys for place in _places(node[key])]


def _respelled(value: Any) -> Any:
    """A number as text, a text as a number, anything else inside a list."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return len(value)
    return [value]


def _repeat(container: Any, key: Any, rng: random.Random) -> None:
    """An element of a list twice; a value of an object under the name of another one."""
    if isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    else:
        container[rng.choice(list(container))] = copy.deepcopy(container[key])
