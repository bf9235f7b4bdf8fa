"""What became of the rows that one journal gave to Redis, until the account takes it over; and when a cursor may move. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from feedplane_core.names import NS_PER_S


class Books:
    """Rows of one journal. A row is open from the moment it is read until it is stored or superseded.

    `claim_ms` is when the journal was first served: of two writers of one key, the one with the later claim looks after it.
    """

    def __init__(
        self,
        name: str,
        on_stored: Callable[[str, int], None] = lambda feed, recv_ns: None,
        claim_ms: int = 0,
    ) -> None:
        self.name = name
        self.claim_ms = claim_ms
        self.claim = b"%013d" % claim_ms
        self.on_stored = on_stored
        self.generation = 0
        self.written: Counter[str] = Counter()  # by feed, since `take`
        self.stored: Counter[str] = Counter()  # by feed, since `take`
        self.superseded: Counter[str] = Counter()  # by feed, since the start
        self.newest_recv_ns = 0
        self._open: dict[int, int] = {}

    def open(self, rows: int = 1) -> Row:
        """Rows that wait for Redis."""
        self._open[self.generation] = self._open.get(self.generation, 0) + rows
        return Row(self, self.generation)

    def pass_over(self, feed: str, rows: int) -> None:
        """Rows that never waited: a newer one of the same key was in the same batch."""
        if rows:
            self.written[feed] += rows
            self.superseded[feed] += rows

    def without_key(self, feed: str, rows: int) -> None:
        """Rows that Redis has no key for."""
        self.written[feed] += rows

    def close(self, generation: int, feed: str) -> None:
        """One open row is settled."""
        self.written[feed] += 1
        left = self._open[generation] - 1
        if left:
            self._open[generation] = left
        else:
            del self._open[generation]

    def next_generation(self) -> int:
        """Rows opened from now on are of a later generation than the number returned."""
        self.generation += 1
        return self.generation - 1

    def is_settled(self, generation: int) -> bool:
        """Whether no row of that generation or an earlier one is open."""
        return all(number > generation for number in self._open)

    @property
    def open_rows(self) -> int:
        return sum(self._open.values())

    def take(self) -> tuple[Counter[str], Counter[str]]:
        """(written, stored) by feed since the last call."""
        taken = self.written, self.stored
        self.written, self.stored = Counter(), Counter()
        return taken


class Row:
    """An open row, or each of several that were opened together: whoever holds it closes it once."""

    __slots__ = ("books", "generation")

    def __init__(self, books: Books, generation: int) -> None:
        self.books = books
        self.generation = generation

    def stored(self, feed: str, recv_ns: int) -> None:
        """Redis has it."""
        books = self.books
        books.stored[feed] += 1
        books.newest_recv_ns = max(books.newest_recv_ns, recv_ns)
        books.close(self.generation, feed)
        books.on_stored(feed, recv_ns)

    def superseded(self, feed: str) -> None:
        """A newer value of the same key took its place."""
        self.books.superseded[feed] += 1
        self.books.close(self.generation, feed)


GIVE_WAY_NS = 60 * NS_PER_S
"""A cursor waits so long for rows that Redis does not take, then goes on: a store that is down must not hold the journal's segments."""
