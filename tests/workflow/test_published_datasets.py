"""Published datasets by name: from a folder of the published shape to a table."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flow import ROOT, Flow, nothing_to_do
from published_datasets import MAKERS, make_folder
from sfqa import store, tables
from videos import make_video

#: The official split with leaks, and a set with hidden parts; the others are thorough.
DEFAULT = ("q_eval_video",)


def import_dataset(name: str, folder: Path) -> Flow:
    """Return a flow on a made folder of a dataset, with the configuration that sfqa import writes."""
    data = folder / "data"
    made = make_folder(name, data)
    for number in range(5):
        make_video(folder / f"source{number}.mp4", number)
    for number, one in enumerate(made):
        target = data / one.path
        target.unlink()
        shutil.copy(folder / f"source{number % 5}.mp4", target)
    command = [sys.executable, "-m", "sfqa", "import", name, str(data), "--out", "written.yaml"]
    environment = {"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    config = yaml.safe_load((folder / "written.yaml").read_text())
    # The made videos are small and have no face.
    config |= {"shards": 1, "conform": {"mode": "none", "expect": []}}
    config["correlation"]["bootstrap"] = 100
    for protocol in config["regression"]["protocols"]:
        if "trials" in protocol:
            protocol["trials"] = 3
    return Flow(folder, config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [n if n in DEFAULT else pytest.param(n, marks=pytest.mark.thorough) for n in sorted(MAKERS)],
)
def test_a_published_folder_becomes_a_table(name: str, tmp_path: Path) -> None:
    flow = import_dataset(name, tmp_path)
    flow.run()
    samples = store.read(tables.SAMPLES, flow.results / "samples.parquet")
    mos = store.read(tables.MOS, flow.results / "ratings/mos.parquet")
    assert set(mos["sample_id"]) == set(samples["sample_id"])
    assert set(mos["status"]) <= {"ok", "failed"}
    rows = store.read(tables.CORRELATION, flow.results / "correlation/correlation.parquet")
    oracle = rows[(rows["metric"] == "oracle") & (rows["pooling"] == "pooled")]
    assert (oracle["srcc"] > 0.999).any()
    text = (flow.results / "correlation/metrics.md").read_text()
    assert "simulated raters" not in text
    if name == "thqa_ntire":
        # The second clip of train and validation is the sentence of THQA-3D, in all three parts.
        assert (
            "The published split 'official' is not disjoint: 1 image in train and validation, "
            "2 clips in train and validation, 1 clip in train and test, 1 clip in validation and "
            "test."
        ) in text
    if name == "q_eval_video":
        hidden = set(samples.loc[samples["split"].isna(), "sample_id"])
        predictions = store.read(
            tables.PREDICTIONS, flow.results / "regression/Sharpness/predictions.parquet"
        )
        assert hidden <= set(predictions.dropna(subset="prediction")["sample_id"])
    assert nothing_to_do(flow.run())
