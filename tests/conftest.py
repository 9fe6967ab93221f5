"""What tests of all rooms share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples every time, so that a change fails for what it changes; new ones with SFQA_TESTS=all.
settings.register_profile("same", derandomize=True)
settings.load_profile("default" if os.environ.get("SFQA_TESTS") == "all" else "same")

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs last, the longest file of them first; what is marked thorough is left out."""
    items.sort(
        key=lambda item: (item.path.parent.name == "workflow", item.path.stem != "test_whole")
    )
    if os.environ.get("SFQA_TESTS") == "all":
        return
    for item in items:
        if item.get_closest_marker("thorough"):
            item.add_marker(pytest.mark.skip(reason="thorough: SFQA_TESTS=all runs it"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the checkout; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser."""
    from chromium import start_chromium

    with start_chromium() as started:
        yield started


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of screenshots: SFQA_SCREENSHOTS, or one of pytest's."""
    folder = Path(os.environ.get("SFQA_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
