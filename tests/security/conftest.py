"""Tests of what strangers send and prepare; helpers of other folders' tests are shared."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
for name in ("security", "ratings", "report", "workflow"):
    sys.path.insert(0, str(TESTS / name))
