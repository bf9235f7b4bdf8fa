"""Collector: venue sockets and REST on one side, the journal on the other."""
