from feedplane_ops.counts import MAX_SERIES, OVERFLOW, Level, Tally


def test_tally_counts_per_label_set() -> None:
    tally = Tally()
    tally.add(("binance_futures", "trades"))
    tally.add(("binance_futures", "trades"), 4)
    tally.add(("kraken", "trades"))

    assert tally == {("binance_futures", "trades"): 5, ("kraken", "trades"): 1}
    assert tally.total() == 6


def test_tally_contains_an_explosion_of_labels_without_losing_counts() -> None:
    tally = Tally()
    for n in range(MAX_SERIES + 50):
        tally.add((f"symbol{n}", "x"))
    tally.add(("symbol3", "x"))  # a set that is held goes on as before

    assert len(tally) == MAX_SERIES + 1
    assert tally[(OVERFLOW, OVERFLOW)] == 50
    assert tally[("symbol3", "x")] == 2
    assert tally.total() == MAX_SERIES + 51


def test_level_replaces_and_is_bounded() -> None:
    level = Level()
    level.put(("a",), 1)
    level.put(("a",), 0.5)
    for n in range(MAX_SERIES + 10):
        level.put((f"s{n}",), n)

    assert level[("a",)] == 0.5
    assert len(level) == MAX_SERIES + 1
