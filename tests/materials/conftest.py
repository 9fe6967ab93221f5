"""A drawn portrait."""

import sys
from pathlib import Path

import pytest

from sfqa.materials import portraits
from sfqa.materials.portraits_traits import draw_traits

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def face():
    """A portrait (240, 240, 3) with one face."""
    from pictures import SIDE

    traits = draw_traits("photo_man_young", 1, "portrait03", 2)
    return portraits.render(traits, 1, "portrait03", SIDE, SIDE)
