"""C03: an adapter turns values into values. It imports nothing that could do otherwise, and no other venue."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from feedplane_testing.venues import Venue

_STANDARD = (
    "__future__ base64 binascii collections dataclasses datetime decimal enum functools gzip hashlib itertools json math operator re string struct types "
    "typing urllib.parse zlib"
)
PURE = frozenset(_STANDARD.split(" ")) | {"msgspec", "orjson", "feedplane_core", "google.protobuf"}
"""Modules without I/O, clock or environment. `datetime` is for parsing; its clocks are forbidden below. `gzip` and protobuf are for payloads."""
IMPURE_CALLS = frozenset({"now", "utcnow", "today", "open", "print", "input", "eval", "exec", "__import__"})


def _sources(venue: Venue) -> list[Path]:
    sources = sorted((venue.folder / "src" / f"feedplane_adapter_{venue.exchange}").rglob("*.py"))
    assert sources
    return sources


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def _is_pure(module: str, venue: Venue) -> bool:
    allowed = PURE | {f"feedplane_adapter_{venue.exchange}"}
    return module in allowed or any(module.startswith(f"{name}.") for name in allowed)


def test_c03_imports_stay_pure(venue: Venue) -> None:
    for path in _sources(venue):
        for module in _imported(ast.parse(path.read_text())):
            assert _is_pure(module, venue), f"{path.name} imports {module}"


def test_c03_calls_no_clock_and_no_file(venue: Venue) -> None:
    for path in _sources(venue):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in IMPURE_CALLS, f"{path.name}:{node.lineno} calls {name}"


def test_c03_numbers_never_pass_through_float(venue: Venue) -> None:
    for path in _sources(venue):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Name) and node.id == "float"), f"{path.name}:{node.lineno} names float"
