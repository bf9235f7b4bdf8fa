"""The ClickHouse tables of Feedplane: forward-only SQL files, what renders and applies them, and the dictionary of
their columns."""
