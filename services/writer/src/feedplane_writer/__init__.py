"""Tails journals and writes them to a store, one process per sink. Nothing is imported here: `__main__` loads
pyarrow without numpy first."""
