"""Decimal texts for property tests: plain ones of every length and padding, and what comes near to them; and how many examples such a test takes."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def _plain(sign: str, whole: int, padding: int, fraction: int, places: int) -> str:
    text = f"{sign}{str(whole).zfill(padding)}"
    return f"{text}.{str(fraction).zfill(18)[-places:]}" if places else text


def _plain_of(signs: list[str]) -> st.SearchStrategy[str]:
    whole = st.one_of(st.integers(0, 1_000), st.integers(0, 10**20 - 1))
    fraction = st.one_of(st.sampled_from([0, 1, 10**17]), st.integers(0, 10**18 - 1))
    return st.builds(_plain, st.sampled_from(signs), whole, st.integers(0, 20), fraction, st.integers(0, 18))


UNSIGNED = _plain_of([""])
PLAIN = _plain_of(["", "", "-"])
"""Plain decimal text that fits Decimal(38,18)."""

DIGITS = st.text("0123456789", max_size=22)
ODD = st.one_of(
    st.sampled_from(
        [
            *("", "-", ".", "-.5", ".5", "5.", "--1", "1..2", "1.2.3", "1_0", "1,2", "+1", " 1", "1 ", "1\n", "0x1"),
            *(
                "NaN",
                "inf",
                "٣",
                "1\x00",
                "\ud800",
                "1e5",
                "1E-7",
                "9" * 21,
                "0." + "0" * 19,
                "0." + "1" * 19,
                "1" * 39,
            ),
        ]
    ),
    st.builds("{}{}.{}{}".format, st.sampled_from(["", "-", "+"]), DIGITS, DIGITS, st.sampled_from(["", "e3", "e-3"])),
    st.builds("{}e{}".format, UNSIGNED, st.integers(-40, 40)),
    st.text(max_size=8),
)
"""What is no plain text, or is it by chance."""


def thorough(examples: int) -> settings:
    """So many examples, however slow the machine is; a quarter under a sanitizer, which is four times as slow."""
    count = examples // 4 if "FEEDPLANE_SANITIZED" in os.environ else examples
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
