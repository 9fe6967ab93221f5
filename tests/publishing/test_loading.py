"""Others load a published folder offline: mlcroissant validates it, datasets.load_dataset reads it.

Both packages are in an environment of their own, made by ``./run.sh publishing``, which runs these tests.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from sfqa.cli import main

PYTHON = os.environ.get("SFQA_PUBLISH_PYTHON", "")
NEEDED = "mlcroissant and datasets are in an environment of their own: ./run.sh publishing"


@pytest.mark.thorough
@pytest.mark.skipif(not PYTHON, reason=NEEDED)
def test_a_published_folder_is_valid_and_loads_offline(dataset: Path, tmp_path: Path) -> None:
    Path("cite.bib").write_text("@misc{mine, title={Mine}}")
    options = ["--licence", "CC-BY-4.0", "--homepage", "https://example.org", "--cite", "cite.bib"]
    options += ["--creator", "A. Author"]
    assert main(["publish", str(dataset), "--out", "shared", *options]) == 0
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    # Any request to a server fails at once.
    proxies = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("load_published.py")), "shared"],
        env={**os.environ, **offline, **proxies}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert loaded["croissant"]["errors"] == []
    assert loaded["croissant"]["warnings"] == []
    assert set(loaded["croissant"]["records"]) == {"samples", "mos", "scores", "splits"}
    tables = loaded["tables"]
    assert {part: table["rows"] for part, table in tables["default"].items()} == {
        "train": 2,
        "validation": 2,
    }
    assert tables["scores"]["train"]["rows"] == 16
    assert {"video", "quality_mos", "quality_ci95_low"} <= set(
        tables["default"]["train"]["columns"]
    )
