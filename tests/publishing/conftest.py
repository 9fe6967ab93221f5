from __future__ import annotations

from pathlib import Path

import pytest

from finished_dataset import make_dataset


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished dataset below the working folder, all of whose materials may be shared."""
    monkeypatch.chdir(tmp_path)
    licences: dict[str, str | None] = {
        "face1": "CC0-1.0", "face2": "CC-BY-4.0", "song1": "CC-BY-SA 4.0", "song2": "CC0",
    }  # fmt: skip
    return make_dataset(Path("results/mine"), licences)
