from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "workflow"))
# Last: tests/cluster has a harness.py of its own.
sys.path.append(str(HERE))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """The undisturbed run."""
    import places

    return places.finished(tmp_path_factory)
