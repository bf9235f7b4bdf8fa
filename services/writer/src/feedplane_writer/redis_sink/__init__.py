"""Redis: the newest state of every instrument, best effort and never wrong without saying so."""
