"""A portrait."""

import sys
from pathlib import Path

import pytest

from demo_material import load_portrait

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def face():
    """A portrait (240, 240, 3) with one face."""
    from pictures import SIDE

    return load_portrait(3, SIDE)
