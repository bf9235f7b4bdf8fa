"""Events in, Arrow record batches out: the columns that a collector fills between two group commits.

Hot path: `Columns.append` runs once per event. Nothing is built or kept per row or level: the compiled core writes values into typed buffers at once, the Python
reference keeps references to texts and integers and casts them column by column. Which of the two runs is no matter of what comes out.
"""

from __future__ import annotations

from types import ModuleType

from feedplane_core.cores import compiled
from feedplane_core.instruments import Instrument

from .blocks import Pending, Taken
from .native_columns import NativeRows
from .python_columns import PythonRows


class Columns:
    """Column builders of one exchange. Not thread-safe: one task appends and takes. `core` is the compiled core, or `None` for the reference."""

    def __init__(self, exchange: str, core: ModuleType | None = compiled) -> None:
        self._rows: PythonRows | NativeRows = PythonRows(exchange) if core is None else NativeRows(exchange, core)
        self.append = self._rows.append
        """Add one event; the last trade known (price, size) is kept with `TopOfBook` and `DerivedL1` only."""

    def append_instrument(self, instrument: Instrument, recv_ns: int) -> None:
        """Add one instrument as it was known at `recv_ns`."""
        self._rows.append_instrument(instrument, recv_ns)

    @property
    def rows(self) -> int:
        """Rows waiting."""
        return self._rows.row_count

    @property
    def approx_bytes(self) -> int:
        """About how many bytes the rows will be as Arrow columns, before compression."""
        return self._rows.approx_bytes

    def detach(self) -> Pending:
        """Take the rows out without making batches of them: a few nanoseconds a value."""
        return self._rows.detach()

    def take(self) -> Taken:
        """All rows as record batches, one per record type that has any; the columns are empty afterwards."""
        return self.detach().build()
