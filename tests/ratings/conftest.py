"""The screen's tests share a module, a clock, and a small study that is served."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def clock():
    from screen_study import Clock

    return Clock()


@pytest.fixture
def study(tmp_path):
    """Two raters with a training video, four tests, a repeat, a gold and a trap clip."""
    from screen_study import make, rows_of, tokens

    folder = make(tmp_path / "study", rows_of("r001", "tTTTTRGX") + rows_of("r002", "tTT"))
    return folder, tokens(folder)


@pytest.fixture
def served(study, clock):
    from starlette.testclient import TestClient

    from sfqa.ratings.screen.app import create_app

    folder, links = study
    with TestClient(create_app(folder, clock)) as client:
        yield client, links, folder
