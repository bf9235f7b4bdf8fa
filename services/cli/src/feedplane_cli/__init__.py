"""The `feedplane` command."""
