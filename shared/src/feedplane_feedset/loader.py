"""Text to plain data: YAML (or JSON, its subset) that means the same to every reader, with the line of each key.

Refused: duplicate keys, more than one document, tags, aliases beyond a cap or that unfold to more than they should,
deep nesting, documents over 1 MiB. Only the types of JSON come out, so `2026-01-01` stays text as it does for the API
server's clients.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

from .errors import FeedSetError, Problem

MAX_DOCUMENT_BYTES = 1 << 20
MAX_ALIASES = 16
MAX_DEPTH = 24
MAX_NODES = 100_000

_PREFIX = "tag:yaml.org,2002:"
_JSON_TAGS = frozenset(_PREFIX + name for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge"))

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data and the line of each of its paths (empty where the data never was text)."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int | None:
        """The line of `path` or of the nearest part of the document around it that is there."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def render_path(path: Path) -> str:
    """`("spec", "exchanges", 1)` -> `spec.exchanges[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def load_document(text: str | bytes) -> Document:
    """The one document in `text`.

    Raises: FeedSetError.
    """
    size_bytes = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_DOCUMENT_BYTES:
        raise _refusal(f"is {size_bytes} bytes long; a FeedSet has at most {MAX_DOCUMENT_BYTES}")
    loader: _Loader | None = None
    try:
        loader = _Loader(text if isinstance(text, str) else text.decode("utf-8-sig"))
        return _load(loader)
    except UnicodeDecodeError as e:
        raise _refusal(f"is not UTF-8 (byte {e.start})") from e
    except yaml.MarkedYAMLError as e:
        raise _refusal(_reason(e), e.problem_mark or e.context_mark) from e
    except (yaml.YAMLError, ValueError) as e:  # ReaderError (control characters); int() of an absurd number
        raise _refusal(f"is not YAML: {str(e).splitlines()[0]}") from e
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """SafeLoader with bounds on what a document may unfold to, and none of YAML's types beyond JSON's."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._aliases = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MAX_ALIASES:
                raise _marked(f"more than {MAX_ALIASES} aliases", event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _marked(f"more than {MAX_NODES} values", event.start_mark)
        if self._depth >= MAX_DEPTH:
            raise _marked(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _JSON_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load(loader: _Loader) -> Document:
    root = loader.get_single_node()
    if root is None:
        raise _refusal("is empty")
    _check(root, (), set(), [0])
    lines: dict[Path, int] = {}
    _note_lines(root, (), lines)
    return Document(loader.construct_document(root), lines)


def _check(node: yaml.Node, path: Path, above: set[int], counter: list[int]) -> None:
    """Walks the tree as a reader would, aliases unfolded; `above` holds the nodes around this one."""
    counter[0] += 1
    if counter[0] > MAX_NODES:
        raise _marked(f"unfolds to more than {MAX_NODES} values", node.start_mark)
    if node.tag not in _JSON_TAGS:
        raise _marked(f"tag {node.tag.replace(_PREFIX, '!!')} is not accepted", node.start_mark)
    if id(node) in above:
        raise _marked("an alias contains itself", node.start_mark)
    above.add(id(node))
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, path)
        for key, value in node.value:
            _check(value, (*path, key.value), above, counter)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _check(value, (*path, index), above, counter)
    above.discard(id(node))


def _check_keys(node: yaml.MappingNode, path: Path) -> None:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in (_PREFIX + "str", _PREFIX + "merge"):
            raise _refusal_at(path, "keys are text; quote this one", key.start_mark)
        if key.value in seen:
            raise _refusal_at((*path, key.value), "this key stands twice", key.start_mark)
        seen.add(key.value)


def _note_lines(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            _note_lines(value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            _note_lines(value, (*path, index), lines)


def _marked(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _reason(error: yaml.MarkedYAMLError) -> str:
    if isinstance(error, yaml.composer.ComposerError) and error.context == "expected a single document in the stream":
        return "holds several documents; a FeedSet is one"
    parts = [part for part in (error.context, error.problem) if part]
    return "is not accepted: " + ", ".join(parts)


def _refusal(message: str, mark: Any = None) -> FeedSetError:
    return _refusal_at((), message, mark)


def _refusal_at(path: Path, message: str, mark: Any) -> FeedSetError:
    return FeedSetError([Problem(render_path(path), message, line=None if mark is None else mark.line + 1)])
