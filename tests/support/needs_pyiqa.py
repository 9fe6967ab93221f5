"""Tests that need pyiqa, which is not in requirements.txt because of its licence."""

from importlib.util import find_spec

import pytest

needs_pyiqa = pytest.mark.skipif(
    find_spec("pyiqa") is None, reason="pyiqa is not installed: ./run.sh iqa installs and tests it"
)
