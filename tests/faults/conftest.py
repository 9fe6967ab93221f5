from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "workflow"))
# Last: tests/cluster has a harness.py of its own.
sys.path.append(str(HERE))
