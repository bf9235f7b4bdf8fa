"""The compiled core itself, whichever one the process runs on."""

from __future__ import annotations

import importlib
import os
import shutil
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def core() -> ModuleType:
    """Skips only where it could not be built: with a compiler at hand, a missing core is a failure."""
    try:
        found = importlib.import_module("feedplane_native._core")
        assert (found.__file__ or "").startswith(os.environ.get("FEEDPLANE_SANITIZED", "")), "not the sanitized build"
        return found
    except ImportError:
        if shutil.which("cc") or shutil.which("gcc"):
            pytest.fail("there is a C compiler and no compiled core: make setup")
        pytest.skip("no C compiler, no compiled core")
