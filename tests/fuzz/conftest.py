from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_runs import Fuzz


@pytest.fixture
def fuzz(tmp_path: Path) -> Fuzz:
    """A fresh folder to run samples in."""
    return Fuzz(tmp_path)
