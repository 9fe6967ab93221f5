from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from csv_files import read_csv
from sfqa import cli, store
from sfqa.cli import _extract, _video_files, score
from sfqa.conform.video import Form
from sfqa.errors import UserError
from sfqa.features import base, official, run
from sfqa.features.weights import resolve_weights
from sfqa.regression.fitting import ModelOrigin, fit_model
from sfqa.regression.model_files import Scorer, read, write
from sfqa.regression.train import load_features
from videos import make_video

pytestmark = pytest.mark.usefixtures("without_workers")

FORM = {"short_side": 64, "fps": 25, "sample_rate": 16000, "crf": 12, "preset": "veryfast", "mode": "encode",
        "expect": ["sound"], "viewing_short_side": 32}  # fmt: skip
INPUTS = ["signal.sharpness", "signal.motion", "signal.si_per_second"]
SHA = "cd" * 32


def entry(inputs):
    return {"name": "r", "kind": "regressor", "group": "g", "head": "ridge", "inputs": inputs, "options": {},
            "direction": 1, "dimensions": None}  # fmt: skip


def rated(names, synthetic=False):
    numbers = np.random.default_rng(0)
    samples = [{"sample_id": s, "method": "m", "image_id": f"i{n // 2}", "clip_id": None}
               for n, s in enumerate(names)]  # fmt: skip
    mos = [{"sample_id": s, "dimension": d, "mos": numbers.uniform(20, 80), "synthetic": synthetic,
            "status": "ok", "detail": ""} for d in ("sync", "visual") for s in names]  # fmt: skip
    return pd.DataFrame(samples), pd.DataFrame(mos)


def fit(folder: Path, files, inputs, samples, mos, conform=None) -> Path:
    metric = entry(inputs)
    design = load_features(metric, files, folder)
    write(
        folder / "model.sfqa",
        *fit_model(metric, design, samples, mos, ModelOrigin("a", conform, files), 0, folder),
    )
    return folder / "model.sfqa"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Six videos, their table by the workflow's functions, and a model of both dimensions."""
    folder = tmp_path_factory.mktemp("studio")
    files = [make_video(folder / f"v{n}.mp4", frames=14 + n, seed=n) for n in range(6)]
    form = Form(**{**FORM, "viewing_short_side": None})
    with pytest.MonkeyPatch.context() as patch:
        inside = run.extract_shard
        patch.setattr(run, "extract_shard", lambda *a, workers: inside(*a, workers=0))
        rows = _extract.conform_files(
            files, _video_files.name_files(files), None, folder / "work", form
        )
        spec = _extract.make_specs(["signal"], [], None, [])["signal"]
        made = _extract.extract(rows, "signal", spec, folder / "work", 1)
    store.write_arrow(made.table, folder / "signal.parquet", made.about)
    tables = {"signal": [folder / "signal.parquet"]}
    model = fit(folder, tables, INPUTS, *rated([f.stem for f in files]), FORM)
    return folder, model, tables


def test_a_video_gets_what_its_feature_row_is_predicted(studio, tmp_path, capsys):
    folder, path, tables = studio
    model = read(path)
    design = load_features(entry(INPUTS), tables, tmp_path)
    expected = Scorer(model).predict(design.X)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    words = [str(folder / "v5.mp4"), str(tmp_path / "bad.mp4"), str(folder / "v2.mp4")]
    out = tmp_path / "scores.csv"
    assert cli.main(["score", *words, "--model", str(path), "--out", str(out), "--quiet"]) == 1
    said = capsys.readouterr().out
    rows = read_csv(out)
    assert [r["video"] for r in rows] == ["v5", "bad", "v2"]
    for row in (rows[0], rows[2]):
        at = design.sample_ids.index(row["video"])
        # The last digits of a product of matrices depend on the number of rows.
        found = [float(row["r.sync"]), float(row["r.visual"])]
        assert found == pytest.approx(expected[at].tolist(), rel=1e-12)
        assert row["status"] in ("ok", "flawed")
        assert "in_training: " in row["detail"]
    assert rows[1]["status"] == "failed"
    assert rows[1]["detail"].startswith("broken: ")
    assert rows[1]["r.sync"] == ""
    assert rows[0]["weights"] == "none"
    assert rows[0]["synthetic_mos"] == "False"
    lines = said.splitlines()
    assert (
        lines[0]
        == f"r: head ridge (VERSION {model.metadata['head']['version']}), trained on 6 samples of a"
    )
    assert f"{expected[design.sample_ids.index('v5'), 0]:.4f}" in said
    assert "bad: failed, broken: " in said
    assert "UNTRAINED" not in said
    assert "SYNTHETIC" not in said


def test_tables_instead_of_videos_and_parquet(studio, tmp_path, capsys):
    folder, path, tables = studio
    expected = Scorer(read(path)).predict(load_features(entry(INPUTS), tables, tmp_path).X)
    out = tmp_path / "s.parquet"
    call = [
        "score",
        "--features",
        str(folder / "signal.parquet"),
        "--model",
        str(path),
        "--out",
        str(out),
    ]
    assert cli.main(call) == 0
    table = pq.read_table(out).to_pylist()
    assert [[r["r.sync"], r["r.visual"]] for r in table] == expected.tolist()
    assert {r["path"] for r in table} == {None}
    (tmp_path / "folder").mkdir()
    pq.write_table(pq.read_table(out), tmp_path / "folder" / "other.parquet")
    store.write_arrow(pq.read_table(folder / "signal.parquet").slice(3, 2), tmp_path / "folder" / "t.parquet",
                      store.read_metadata(folder / "signal.parquet"))  # fmt: skip
    capsys.readouterr()
    assert cli.main(["score", "--features", str(tmp_path / "folder"), "--model", str(path)]) == 0
    said = capsys.readouterr().out
    assert "v3 " in said
    assert "v1 " not in said


def crafted(folder: Path, extractor: str, kind: str, synthetic: bool) -> tuple[Path, Path]:
    """A model on a table of numbers that claims to be of an extractor."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"extractor": extractor, "version": base.read_extractor_version(extractor), "options": base.merge_options(extractor, {}),
             "weights": {"kind": kind, "identity": SHA if kind == "official" else "random:7"}}  # fmt: skip
    numbers = np.random.default_rng(1)
    names = [f"v{n}" for n in range(9)]
    rows = [{"sample_id": s, "method": "m", "key": None, "status": "ok", "detail": "", "lse_c": numbers.normal()}
            for s in names]  # fmt: skip
    made = base.build_table([base.Feature("lse_c", "c", dtype="float64")], rows)
    store.write_arrow(made, folder / "t.parquet", about)
    samples, mos = rated(names, synthetic)
    return fit(
        folder, {extractor: [folder / "t.parquet"]}, [f"{extractor}.lse_c"], samples, mos, FORM
    ), folder / "t.parquet"


def test_random_weights_and_simulated_mos_are_said_loudly(tmp_path, capsys):
    model, table = crafted(tmp_path, "lse", "random", synthetic=True)
    out = tmp_path / "s.csv"
    assert (
        cli.main(["score", "--features", str(table), "--model", str(model), "--out", str(out)]) == 0
    )
    said = capsys.readouterr().out
    assert "UNTRAINED: the weights of lse are random" in said
    assert "SYNTHETIC: the model was trained on MOS from simulated raters" in said
    (head,) = (line for line in said.splitlines() if line.startswith("video "))
    assert head.split()[-2:] == ["weights", "MOS"]
    assert said.count("untrained  synthetic") == 9
    assert {(r["weights"], r["synthetic_mos"]) for r in read_csv(out)} == {
        ("random (untrained)", "True")
    }


@pytest.mark.parametrize(
    ("kind", "words", "sentence"),
    [
        ("official", [], f"trained on features of lse with the weights sha256 {SHA}; give them: --weights lse=FILE"),
        ("official", ["--weights", "WRONG"], f"lse: the features are made with weights sha256 .*trained on weights sha256 {SHA}"),
        ("official", ["--weights", "random"], f"made with weights random:0, .* trained on weights sha256 {SHA}"),
        ("random", ["--weights", "WRONG"], "made with weights sha256 .* trained on weights random:7"),
        ("official", ["--weights", "lse=nowhere"], "there is no such file"),
    ],
)  # fmt: skip
def test_other_weights_than_the_models_are_refused_before_any_work(
    studio, tmp_path, capsys, kind, words, sentence
):
    model, _ = crafted(tmp_path, "lse", kind, synthetic=False)
    (tmp_path / "w").write_bytes(b"weights")
    words = [str(tmp_path / "w") if w == "WRONG" else w for w in words]
    assert cli.main(["score", str(studio[0] / "v0.mp4"), "--model", str(model), *words]) == 2
    said = capsys.readouterr().err
    assert re.search(sentence, said), said
    assert said.count("\n") == 1


def test_official_weights_on_this_machine_need_not_be_given(tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setattr(official, "FOLDER", weights)
    for name in ("syncnet_v2.model", "sfd_face.pth"):
        (weights / name).write_bytes(name.encode())
    published = _extract.make_specs(["lse"], ["official"], None, [])["lse"]
    monkeypatch.setitem(globals(), "SHA", resolve_weights(published, "lse").identity)
    model, _ = crafted(tmp_path / "model", "lse", "official", synthetic=False)
    spec = score._make_specs(read(model), [])["lse"]
    assert (spec["weights"], resolve_weights(spec, "lse").identity) == ("official", SHA)
    (weights / "syncnet_v2.model").write_bytes(b"another version")
    with pytest.raises(UserError, match="weights lse=FILE .the official file here has the sha256"):
        score._make_specs(read(model), [])
    (weights / "syncnet_v2.model").unlink()
    with pytest.raises(UserError, match=r"syncnet_v2.model. are missing; sfqa weights syncnet_v2"):
        score._make_specs(read(model), [])


def test_random_weights_come_out_of_the_models_seed(tmp_path):
    model, _ = crafted(tmp_path, "lse", "random", synthetic=False)
    spec = score._make_specs(read(model), [])["lse"]
    assert (spec["weights"], spec["weights_seed"]) == ("random", 7)
    assert spec["options"] == base.merge_options("lse", {})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give either videos or --features"),
        (["v0.mp4", "--features", "signal.parquet"], "give either videos or --features"),
        (
            ["--features", "signal.parquet", "--prompt", "x"],
            "tables need no --prompt or --cache",
        ),
        (
            ["--features", "signal.parquet", "--weights", "x.pth"],
            "this model needs no --weights for tables; drop them",
        ),
        (["--features", "nowhere.parquet"], "nowhere.parquet: there is no such feature table"),
        (["--features", "v0.mp4"], "v0.mp4: not a Parquet file"),
        (
            ["--features", "."],
            "no feature table of lse, which the model reads; there are features of signal",
        ),
        (["v0.mp4", "--out", "x.txt"], "give a name that ends with .csv or .parquet"),
        (["v0.mp4", "--threads", "0"], "--threads 0"),
    ],
)
def test_a_wrong_call_is_a_sentence(studio, tmp_path, monkeypatch, capsys, words, sentence):
    model = studio[1]
    if "." in words:
        model, _ = crafted(tmp_path, "lse", "random", synthetic=False)
        (tmp_path / "some").mkdir()
        words = ["--features", str(tmp_path / "some")]
        store.write_arrow(pq.read_table(studio[0] / "signal.parquet"), tmp_path / "some/s.parquet",
                          store.read_metadata(studio[0] / "signal.parquet"))  # fmt: skip
    monkeypatch.chdir(studio[0])
    assert cli.main(["score", *words, "--model", str(model)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_model_of_imported_features_scores_no_video(studio, tmp_path, capsys):
    about = {"extractor": "imported", "weights": {"kind": "none", "identity": "imported"}}
    table = pq.read_table(studio[0] / "signal.parquet").replace_schema_metadata(None)
    store.write_arrow(table, tmp_path / "t.parquet", about)
    files = {"imported": [tmp_path / "t.parquet"]}
    names = table.column("sample_id").to_pylist()
    model = fit(tmp_path, files, ["imported.sharpness"], *rated(names))
    assert cli.main(["score", str(studio[0] / "v0.mp4"), "--model", str(model)]) == 2
    assert (
        "reads imported features (imported of a), which cannot be computed from videos"
        in capsys.readouterr().err
    )
    assert (
        cli.main(
            ["score", "--features", str(tmp_path / "t.parquet"), "--model", str(model), "--quiet"]
        )
        == 0
    )
