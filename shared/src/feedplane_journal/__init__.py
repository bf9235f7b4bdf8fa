"""The journal: the append-only, segmented log between collector and writers.

`columns` turns events into Arrow record batches, `segments` writes and reads them on disk, `inspect` shows and mends a journal for people.
Nothing is imported here: a process that wants a small footprint calls `feedplane_journal.lean.import_pyarrow()` before anything else.
"""
