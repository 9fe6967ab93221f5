"""The page of the Python API, line by line, and what `import sfqa` loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sfqa
from sfqa.errors import UserError
from sfqa.features import run
from videos import make_video

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page reads: a video, ratings in two shapes, scores of two metrics."""
    folder = tmp_path_factory.mktemp("api")
    make_video(folder / "talk.mp4", seed=1)
    rng = np.random.default_rng(1)
    videos = [f"v{n:02d}" for n in range(12)]
    rows = [
        {
            "rater": f"r{r}",
            "sample_id": v,
            "score": int(np.clip(round(1 + n / 3 + rng.normal(0, 0.7)), 1, 5)),
        }
        for r in range(6)
        for n, v in enumerate(videos)
    ]
    ratings = pd.DataFrame(rows)
    ratings.to_csv(folder / "scores.csv", index=False)
    wide = ratings.pivot_table(index="sample_id", columns="rater", values="score")
    wide.rename_axis("video").reset_index().to_csv(folder / "ratings_wide.csv", index=False)
    metrics = {"sample_id": videos, "sharpness": np.arange(12.0), "lse_d": 9 - np.arange(12.0) / 4}
    pd.DataFrame(metrics).to_csv(folder / "metrics.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def names(folder: Path) -> dict[str, object]:
    """What every line of the page has left behind."""
    blocks = BLOCK.findall((ROOT / "docs/python_api.md").read_text())
    assert len(blocks) >= 5
    extract_shard = run.extract_shard
    monkeypatch = pytest.MonkeyPatch()
    # Quick: features are extracted in this process.
    monkeypatch.setattr(run, "extract_shard", lambda *a, workers: extract_shard(*a, workers=0))
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    try:
        for block in blocks:
            exec(compile(block, "docs/python_api.md", "exec"), names)
    finally:
        monkeypatch.undo()
    return names


def test_features_are_a_frame_with_arrays(names: dict[str, pd.DataFrame]) -> None:
    assert names["features"]["status"].tolist() == ["ok"] or names["features"]["detail"][0]
    assert np.isfinite(names["features"]["signal.sharpness"][0])
    assert names["sound"]["audio.mfcc"][0].shape[1:] == (64, 128)
    assert names["sound"]["audio.weights"].tolist() == ["none"]


def test_mos_of_a_frame_and_of_a_file_are_those_of_the_command_line(
    names: dict[str, pd.DataFrame], folder: Path
) -> None:
    from sfqa import cli

    out = folder / "mos.csv"
    assert cli.main(["mos", str(folder / "scores.csv"), "--method", "p913", "--out", str(out)]) == 0
    expected = pd.read_csv(out)
    np.testing.assert_allclose(names["mos"]["mos"], expected["mos"])
    assert names["wide"]["sample_id"].tolist() == expected["sample_id"].tolist()


def test_correlations_are_those_of_the_command_line(
    names: dict[str, pd.DataFrame], folder: Path
) -> None:
    from sfqa import cli

    names["mos"].to_csv(folder / "m.csv", index=False)
    words = [
        "correlate",
        str(folder / "metrics.csv"),
        "--mos",
        str(folder / "m.csv"),
        "--lower",
        "lse_d",
    ]
    assert cli.main([*words, "--bootstrap", "200", "--out", str(folder / "c.csv")]) == 0
    expected = pd.read_csv(folder / "c.csv")
    table = names["table"].sort_values("metric")
    assert table["metric"].tolist() == expected["metric"].tolist() == ["lse_d", "sharpness"]
    np.testing.assert_allclose(table["srcc"], expected["srcc"])
    assert (table["srcc"] > 0.8).all()
    assert (table["srcc_low"] < table["srcc"]).all()


def test_a_model_gives_a_row_with_a_reason_where_it_cannot_score(
    names: dict[str, pd.DataFrame],
) -> None:
    """The video is too short for LSE-C; scores of others are tested with the command line."""
    scores = names["scores"]
    assert scores["weights"].tolist() == ["random (untrained)"]
    assert scores["status"].tolist() == ["failed"]
    assert "short: the video has 25 frames" in scores["detail"][0]


def test_mistakes_are_sentences(folder: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        sfqa.extract(folder / "none.mp4", "signal")
    with pytest.raises(UserError, match="did you mean 'signal'"):
        sfqa.extract(folder / "talk.mp4", "sginal")
    with pytest.raises(UserError, match="no argument '--metod'; did you mean '--method'"):
        sfqa.mos(folder / "scores.csv", metod="p913")
    with pytest.raises(UserError, match="did you mean 'LSE-C'"):
        sfqa.load_model("LSEC")
    with pytest.raises(UserError, match="there is no such model file"):
        sfqa.load_model(folder / "model.sfqa")
    with pytest.raises(AttributeError, match="it has Model, correlate, extract"):
        sfqa.extrakt  # noqa: B018


def test_the_import_loads_no_library() -> None:
    code = "import sys; before = {*sys.modules}; import sfqa; print(*{*sys.modules} - before)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    others = {name.split(".")[0] for name in done.stdout.split()} - {*sys.stdlib_module_names}
    assert others == {"sfqa"}
    assert "extract" in dir(sfqa)
