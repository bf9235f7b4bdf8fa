"""Which core runs: the setting is heeded, and a wish that cannot be met is told."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest
from feedplane_core.cores import problem_with

SHOW = "from feedplane_core import book, cores, decimals; print(cores.CORE_NAME, type(book.OrderBook()).__module__)"


@pytest.mark.parametrize(
    ("wish", "runs", "problem"),
    [
        ("", "native", ""),
        ("", "python", ""),
        ("native", "native", ""),
        ("python", "python", ""),
        ("native", "python", "native is wanted, and only the python core is installed"),
        ("rust", "native", "'rust' is neither native nor python"),
    ],
)
def test_a_wish_that_cannot_be_met_is_named(wish: str, runs: str, problem: str) -> None:
    assert problem_with(wish, runs) == problem


def test_a_collector_refuses_a_core_that_does_not_exist_and_names_the_variable() -> None:
    env = os.environ | {"FEEDPLANE_CORE": "rust", "FEEDPLANE_CONFIG": "none.json"}
    answer = subprocess.run(
        [sys.executable, "-m", "feedplane_collector"], env=env, capture_output=True, text=True, check=False
    )

    assert answer.returncode == 2
    assert "FEEDPLANE_CORE (core)" in answer.stderr
    assert "'rust' is neither native nor python" in answer.stderr


def test_the_command_refuses_it_too_and_says_which_core_runs(core: ModuleType) -> None:
    def feedplane(wish: str, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from feedplane_cli.main import run; run()", *args]
        return subprocess.run(
            command, env=os.environ | {"FEEDPLANE_CORE": wish}, capture_output=True, text=True, check=False
        )

    refused = feedplane("rust", "validate", "none.yaml")

    assert (refused.returncode, refused.stderr) == (
        2,
        "feedplane: FEEDPLANE_CORE: 'rust' is neither native nor python\n",
    )
    assert feedplane("python", "--version").stdout.endswith(", python core\n")
    assert feedplane("", "--version").stdout.endswith(", native core\n")


@pytest.mark.parametrize(
    ("wanted", "shown"), [("python", "python feedplane_core.book"), ("native", "native feedplane_native._core")]
)
def test_a_process_runs_on_what_it_is_told(core: ModuleType, wanted: str, shown: str) -> None:
    env = os.environ | {"FEEDPLANE_CORE": wanted}
    answer = subprocess.run([sys.executable, "-c", SHOW], env=env, capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == shown
