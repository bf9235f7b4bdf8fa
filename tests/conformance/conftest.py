"""One suite for every venue: parametrised by the folders of services/feeds/ and their fixtures, no exchange named inside."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedplane_testing.venues import FEEDS_FOLDER, NATIVE_FEEDS, Venue, exchanges


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exchange", default=None, help="conformance of one exchange only")
    parser.addoption("--feeds-dir", type=Path, default=FEEDS_FOLDER, help="where the venue folders are")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = metafunc.config.getoption("feeds_dir", FEEDS_FOLDER)
    venues = [Venue(name, folder) for name in exchanges(metafunc.config.getoption("exchange", None), folder)]
    names = set(metafunc.fixturenames)
    if "case" in names:
        pairs = [(venue, case) for venue in venues for case in venue.cases]
        metafunc.parametrize(("venue", "case"), pairs, ids=[f"{venue}-{case}" for venue, case in pairs])
    elif "feed" in names:
        offers = [(venue, feed) for venue in venues for feed in NATIVE_FEEDS]
        metafunc.parametrize(("venue", "feed"), offers, ids=[f"{venue}-{feed}" for venue, feed in offers])
    elif "venue" in names:
        metafunc.parametrize("venue", venues, ids=str)
