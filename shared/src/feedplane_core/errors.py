"""Every exception that crosses a Feedplane module boundary.

FeedplaneError
├── DecodeError          a frame or body that cannot be turned into events; counted, sampled, kept raw, never fatal
├── InstrumentError      an instrument that is unknown or cannot answer (contract size missing)
├── JournalError
│   ├── JournalLocked    another process owns the journal directory
│   ├── JournalCorrupt   bytes inside a sealed segment do not check out
│   └── JournalFull      the disk or the declared budget is exhausted
└── UsageError           wrong use or bad input by a person; the process ends with exit code 2
"""

from __future__ import annotations


class FeedplaneError(Exception):
    """Root of the hierarchy."""


class DecodeError(FeedplaneError):
    """A frame that is not what its venue documents.

    `channel` names the stream as far as it could be told, `code` is one of a small fixed set (a metric label):
    `json`, `schema`, `number`, `number_range`, `unknown_channel`, `unknown_instrument`, `contract_size`, `checksum`, `venue_error`,
    `compression`, `too_large`.
    """

    def __init__(self, channel: str, code: str, detail: str = "") -> None:
        super().__init__(f"{channel}: {code}" + (f": {detail}" if detail else ""))
        self.channel = channel
        self.code = code
        self.detail = detail


class InstrumentError(FeedplaneError):
    """An instrument that is not known, or lacks what is asked of it."""


class JournalError(FeedplaneError):
    """Root of what can go wrong with a journal directory."""


class JournalLocked(JournalError):
    """Another process holds the directory's lock."""


class JournalCorrupt(JournalError):
    """Bytes inside a sealed segment fail their checksum or structure."""


class JournalFull(JournalError):
    """Neither the disk nor the declared budget has room."""


class UsageError(FeedplaneError):
    """Wrong use or bad input: `field` names what is wrong, `remedy` says what to do."""

    def __init__(self, field: str, message: str, remedy: str = "") -> None:
        super().__init__(f"{field}: {message}" + (f" ({remedy})" if remedy else ""))
        self.field = field
        self.message = message
        self.remedy = remedy
