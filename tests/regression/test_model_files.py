from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.ensemble import RandomForestRegressor

from model_metadata import make_model_metadata
from sfqa import identity, store
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.regression import cross, fitting, heads
from sfqa.regression.fitting import ModelOrigin, fit_model
from sfqa.regression.model_files import Scorer, read, write
from sfqa.regression.train import load_features

ROOT = Path(__file__).parents[2]
ABOUT = {
    "extractor": "deep", "version": 3, "options": {"frames": 4},
    "weights": {"kind": "random", "identity": "random:0"},
}  # fmt: skip
FORM = {
    "short_side": 512,
    "fps": 25,
    "sample_rate": 16000,
    "crf": 12,
    "preset": "veryfast",
    "mode": "encode",
}
FEATURES = [
    base.Feature("a", "a scalar", dtype="float64"),
    base.Feature("b", "another", dtype="float64"),
    base.Feature("frames", "four frames", ("frame", "channel"), "float32"),
    base.Feature("clips", "four clips", ("clip", "channel"), "float32"),
    base.Feature("sounds", "four segments", ("segment", "channel"), "float32"),
    base.Feature("maps", "maps of two clips", ("clip", "channel", "time", "row", "column")),
    base.Feature("more_maps", "a map", ("view", "channel", "time", "row", "column")),
    base.Feature("views", "two pictures", ("frame", "colour", "row", "column"), "uint8"),
]
SEQUENCES = ["deep.frames", "deep.clips", "deep.sounds"]
#: Small enough for a test; a head that is not here is tested with its defaults.
OPTIONS = {
    "mlp": {"hidden": [4], "epochs": 5},
    "random_forest": {"trees": 5},
    "svr": {"tries": 2},
    "ugvq": {"frames": 4, "clips": 4, "width": 8, "layers": 1, "feedforward": 8, "fusion_heads": 2,
             "fusion_feedforward": 8, "hidden": 8, "epochs": 2, "learning_rate": 0.001},
    # float64: two epochs leave scores that hardly differ, and the map to MOS magnifies rounding.
    "vqa_head": {"hidden": 4, "epochs": 2, "precision": "float64"},
    "aigc_vqa": {"hidden": 4, "epochs": 2, "precision": "float64"},
    "simplevqa": {"hidden": 4, "epochs": 2},
    "alignment": {"product": True, "hidden": 4, "epochs": 2},
    "rectifier": {"hidden": 4, "epochs": 2, "learning_rate": 0.001},
    "avqa_recurrent": {"model": "general", "steps": 4, "columns": 0, "width": 8, "state": 4, "vector": 4,
                       "channels": [2, 2, 2], "epochs": 2},
    "audio_visual_fusion": {"clips": 4, "segments": 4, "columns": 0, "width": 8, "state": 4,
                            "hidden": [8, 4], "channels": [2, 2, 2], "epochs": 2},
    "fine_tuned": {"backbone": "image", "model": "test_resnet.r160_in1k", "steps": 2, "epochs": 2,
                   "start": "random", "warmup_epochs": 0.0, "precision": "float64"},
    "frame_ensemble": {"frames": [2, 4], "clusters": 2, "groups": 1, "hidden": 4, "epochs": 2},
    "adapter_fusion": {"width": 4, "hidden": 4, "epochs": 2, "with_previous": [3]},
    "cross_attention": {"frames": 4, "clips": 4, "width": 4, "heads": 2, "hidden": 4, "epochs": 2},
}  # fmt: skip
INPUTS = {
    "ugvq": SEQUENCES, "audio_visual_fusion": SEQUENCES,
    "rectifier": ["deep.a", "deep.frames", "deep.clips"], "alignment": ["deep.frames", "deep.clips"],
    "frame_ensemble": ["deep.frames", "deep.clips"], "adapter_fusion": SEQUENCES,
    "cross_attention": ["deep.frames", "deep.clips"],
    "avqa_recurrent": ["deep.frames", "deep.sounds"], "simplevqa": SEQUENCES, "vqa_head": ["deep.maps"],
    "aigc_vqa": ["deep.maps", "deep.more_maps", "deep.frames"], "fine_tuned": ["deep.views"],
}  # fmt: skip
POOLED = ["deep.a", "deep.b", "deep.frames"]


def make(folder: Path, images: int = 12, clips: int = 4, seed: int = 0, about=ABOUT, **changes):
    """A feature table of images x clips, its samples, and MOS in two dimensions."""
    numbers = np.random.default_rng(seed)
    rows, samples, mos = [], [], []
    for i in range(images):
        for c in range(clips):
            name = f"d{seed}i{i:02}__c{c}__m{c % 3}"
            a = numbers.normal()
            row = {"sample_id": name, "method": f"m{c % 3}", "key": None, "status": "ok", "detail": "",
                   "a": a, "b": numbers.normal()}  # fmt: skip
            for tensor in ("frames", "clips", "sounds"):
                row[tensor] = a + numbers.normal(size=(4, 3))
            row["maps"] = a + numbers.normal(size=(2, 3, 2, 1, 2))
            row["views"] = (
                (127 + 30 * a + numbers.normal(size=(2, 3, 8, 8))).clip(0, 255).astype(np.uint8)
            )
            row["more_maps"] = a + numbers.normal(size=(1, 4, 2, 1, 2))
            rows.append(row | changes.get(name, {}))
            samples.append(
                {"sample_id": name, "method": f"m{c % 3}", "image_id": f"i{i}", "clip_id": f"c{c}"}
            )
            for dimension, sign in (("sync", -1.0), ("visual", 1.0)):
                value = 50 + 10 * sign * a + numbers.normal()
                mos.append({"sample_id": name, "dimension": dimension, "mos": value, "synthetic": False,
                            "status": "ok", "detail": ""})  # fmt: skip
    store.write_arrow(base.build_table(FEATURES, rows), folder / "deep.parquet", about)
    return pd.DataFrame(samples), pd.DataFrame(mos), {"deep": [folder / "deep.parquet"]}


def metric_of(head: str, **more):
    inputs = INPUTS.get(head, POOLED)
    return {"name": head, "kind": "regressor", "group": "g", "head": head, "inputs": inputs, "direction": 1,
            "dimensions": None, "options": OPTIONS.get(head, {})} | more  # fmt: skip


def fitted(metric, rated_dataset, folder: Path, seed: int = 7, conform=FORM):
    samples, mos, files = rated_dataset
    design = load_features(metric, files, folder)
    about, arrays = fit_model(
        metric, design, samples, mos, ModelOrigin("a", conform, files), seed, folder
    )
    write(folder / "model.sfqa", about, arrays)
    return design, read(folder / "model.sfqa")


READER = """
import sys
from pathlib import Path
import numpy as np, torch
from sfqa.regression import cross, model_files
torch.set_num_threads(1)
for folder in map(Path, sys.argv[2:]):
    model = model_files.read(folder / "model.sfqa")
    design = cross.load_model_features(model, {"deep": [sys.argv[1]]}, folder)
    np.save(folder / "found.npy", model_files.Scorer(model).predict(design.X))
"""


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    """Every head fitted here, its file read by another process: what either predicts."""
    folder = tmp_path_factory.mktemp("heads")
    before, inside, spied = torch.get_num_threads(), fitting._fit_problems, {}
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            fitting, "_fit_problems", lambda head, *a: spied.setdefault(head, inside(head, *a))
        )
        rated_dataset = make(folder)
        for head in heads.list_heads():
            (folder / head).mkdir()
            fitted(metric_of(head), rated_dataset, folder / head)
    torch.set_num_threads(before)
    subprocess.run(
        [sys.executable, "-c", READER, str(folder / "deep.parquet"),
         *(str(folder / head) for head in heads.list_heads())],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return {h: (np.load(folder / h / "found.npy"), spied[h][0]) for h in heads.list_heads()}


@pytest.mark.parametrize("head", heads.list_heads())
def test_a_model_read_in_another_process_predicts_as_the_one_that_was_fitted(everywhere, head):
    found, expected = everywhere[head]
    expected = np.concatenate(list(expected), axis=1)
    assert found.shape == expected.shape == (48, 2)
    assert np.ptp(expected[:, 0]) > 0
    if head in ("ridge", "kernel", "random_forest", "svr"):
        assert (found == expected).all()
    else:
        assert np.abs(found - expected).max() < 1e-6


@pytest.fixture
def rated_dataset(tmp_path):
    return make(tmp_path)


def test_all_rows_are_learnt_from_and_validation_rows_are_whole_images(rated_dataset, tmp_path):
    design, model = fitted(metric_of("ridge"), rated_dataset, tmp_path)
    assert model.metadata["rows"]["count"] == 48
    for fit in model.metadata["fits"]:
        # .15 of 12 images is 1.8: two of them, 4 samples each.
        assert (fit["train"], fit["validation"]) == (40, 8)
        assert fit["validation_srcc"][fit["dimensions"][0]] > 0.8
    place = {s: n for n, s in enumerate(design.sample_ids)}
    split, groups = fitting._split_rows(
        metric_of("ridge"), rated_dataset[0], place, set(place), True, 7
    )
    held = {s.split("__")[0] for s, part in split.part.items() if part == "validation"}
    rest = {s.split("__")[0] for s, part in split.part.items() if part == "train"}
    assert len(held) == 2
    assert not held & rest
    assert len(np.unique(groups)) == 12


def test_few_rated_samples_leave_some_to_select_on(rated_dataset, tmp_path):
    samples, mos, files = rated_dataset
    few = mos[mos["sample_id"].isin(samples["sample_id"][20:32])]  # three images of twelve
    _, model = fitted(metric_of("ridge"), (samples, few, files), tmp_path)
    assert model.metadata["rows"]["count"] == 12
    assert [(fit["train"], fit["validation"]) for fit in model.metadata["fits"]] == [(8, 4)] * 2
    one = mos[mos["sample_id"].isin(samples["sample_id"][20:24])]
    with pytest.raises(UserError, match="too_few_rows: 0 validation rows"):
        fitted(metric_of("ridge"), (samples, one, files), tmp_path)
    with pytest.raises(
        UserError, match="too_few_rows: 0 train rows .* e.g. d0i00__c0__m0: gone: x"
    ):
        make(
            tmp_path,
            **{s: {"status": "failed", "detail": "gone: x"} for s in samples["sample_id"]},
        )
        fitted(metric_of("ridge"), rated_dataset, tmp_path)


def test_a_forest_is_scikit_learns_on_every_row(rated_dataset, tmp_path):
    design, model = fitted(metric_of("random_forest"), rated_dataset, tmp_path)
    y = rated_dataset[1][rated_dataset[1]["dimension"] == "visual"].set_index("sample_id")["mos"]
    assert [fit["validation"] for fit in model.metadata["fits"]] == [0, 0]
    seed = identity.seed_of(7, "model file", "visual") % 2**32
    forest = RandomForestRegressor(5, random_state=seed).fit(design.X, y[design.sample_ids])
    new = np.random.default_rng(1).normal(size=(9, design.X.shape[1])).astype(np.float32)
    found = Scorer(model).predict(new)[:, model.dimensions.index("visual")]
    assert (found == forest.predict(new)).all()


def test_the_file_says_what_made_it(rated_dataset, tmp_path):
    samples, mos, files = rated_dataset
    mos.loc[mos["dimension"] == "sync", "synthetic"] = True
    mos.loc[(mos["dimension"] == "sync") & (mos["sample_id"] == samples["sample_id"][0]), "mos"] = (
        None
    )
    _, model = fitted(metric_of("ridge"), (samples, mos, files), tmp_path)
    about = model.metadata
    assert about["extractors"] == {"deep": {k: v for k, v in ABOUT.items() if k != "extractor"}}
    assert about["inputs"] == [
        {"input": "deep.a", "columns": ["a"], "shape": []},
        {"input": "deep.b", "columns": ["b"], "shape": []},
        {"input": "deep.frames", "columns": ["frames"], "shape": [3]},
    ]
    assert (about["dataset"], about["seed"], about["conform"]) == ("a", 7, FORM)
    assert about["head"] == {
        "name": "ridge", "version": heads.read_version("ridge"), "refit": False,
        "options": heads.merge_options("ridge", {}),
    }  # fmt: skip
    y = mos[mos["dimension"] == "sync"]["mos"].dropna()
    said = about["mos"]["sync"]
    assert (said["n"], said["lowest"], said["highest"]) == (47, y.min(), y.max())
    assert (said["mean"], said["sd"]) == pytest.approx((y.mean(), y.std(ddof=0)), rel=1e-12)
    assert (said["synthetic"], about["mos"]["visual"]["synthetic"]) == (True, False)
    assert model.has_synthetic_mos
    assert model.untrained_extractors == ["deep"]
    assert model.dimensions == ["sync", "visual"]
    told = cross.describe_model(model)
    assert "48 samples of a" in told
    assert "UNTRAINED" in told
    assert "SYNTHETIC" in told


def test_equal_content_gives_equal_bytes_of_plain_numbers(rated_dataset, tmp_path):
    _, model = fitted(metric_of("ridge"), rated_dataset, tmp_path)
    about = {k: v for k, v in model.metadata.items() if k not in ("arrays", "digest", "format")}
    write(tmp_path / "again.sfqa", about, dict(reversed(model.arrays.items())))
    assert (tmp_path / "again.sfqa").read_bytes() == (tmp_path / "model.sfqa").read_bytes()
    with zipfile.ZipFile(tmp_path / "model.sfqa") as archive:
        assert {Path(n).suffix for n in archive.namelist()} == {".json", ".npy"}
    with pytest.raises(ValueError, match="not a number type"):
        write(tmp_path / "bad.sfqa", about, {"x": np.array([{}], object)})
    assert not (tmp_path / "bad.sfqa").exists()


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abc/.é", min_size=1, max_size=6),
        hnp.arrays(
            st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        ),
        max_size=4,
    )
)
def test_arrays_come_back_as_they_were(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("a") / "m.sfqa"
    write(path, make_model_metadata(), arrays)
    found = read(path).arrays
    assert set(found) == set(arrays)
    for name, values in arrays.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        assert found[name].tobytes() == values.tobytes()


def rewritten(path: Path, change, members=None, compression=zipfile.ZIP_STORED) -> Path:
    """The file with its JSON changed by hand."""
    with zipfile.ZipFile(path) as archive:
        content = {n: archive.read(n) for n in archive.namelist()}
    about = json.loads(content["model.json"])
    change(about)
    content["model.json"] = json.dumps(about).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def sealed(change):
    """The same change, with the digest made anew."""

    def both(about):
        change(about)
        about["digest"] = identity.digest({k: v for k, v in about.items() if k != "digest"})

    return both


def flip(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    place = data.index(b"\x93NUMPY") + 300
    data[place] ^= 1
    path.write_bytes(bytes(data))
    return path


def nothing(about):
    pass


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda p: p.unlink(), "there is no such model file"),
        (lambda p: p.write_bytes(b"no zip"), "damaged, or not a model file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-200]), "damaged, or not a model file"),
        (flip, "damaged, or not a model file"),
        (lambda p: rewritten(p, lambda a: a.update(seed=8)), "model.json was changed"),
        (lambda p: rewritten(p, lambda a: a.pop("format")), "damaged, or not a model file"),
        (lambda p: rewritten(p, sealed(nothing), compression=zipfile.ZIP_DEFLATED), "is compressed"),
        (lambda p: rewritten(p, lambda a: a.update(format=3)), "of format 3; this program reads up to 2"),
        (lambda p: rewritten(p, sealed(lambda a: a["head"].update(name="oracle"))), "'oracle', which this program does not have"),
        (lambda p: rewritten(p, sealed(lambda a: a["head"].update(version=99))), "head ridge VERSION 99; this program has"),
        (lambda p: rewritten(p, sealed(lambda a: a["arrays"]["probe"].__setitem__(2, "0"))), "array probe was changed"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_is_a_sentence(rated_dataset, tmp_path, spoil, sentence):
    fitted(metric_of("ridge"), rated_dataset, tmp_path)
    spoil(tmp_path / "model.sfqa")
    with pytest.raises(UserError, match=sentence) as error:
        read(tmp_path / "model.sfqa")
    assert str(tmp_path / "model.sfqa") in str(error.value)


@pytest.mark.parametrize(("head", "name"), [("ridge", "0/weights"), ("random_forest", "0/y")])
def test_a_model_that_predicts_otherwise_than_when_it_was_made_is_refused(
    rated_dataset, tmp_path, head, name
):
    design, model = fitted(metric_of(head), rated_dataset, tmp_path)
    about = {k: v for k, v in model.metadata.items() if k not in ("arrays", "digest", "format")}
    write(tmp_path / "other.sfqa", about, {**model.arrays, name: model.arrays[name] * 1.5})
    with pytest.raises(UserError, match=r"the model predicts .* when it was made \(with numpy"):
        Scorer(read(tmp_path / "other.sfqa")).predict(design.X)


def test_what_cannot_be_fitted_is_a_sentence(rated_dataset, tmp_path):
    samples, mos, files = rated_dataset
    for metric in (metric_of("ridge", kind="zero_shot"), metric_of("ridge", kind="control")):
        with pytest.raises(UserError, match="is not trained, so there is no model of it"):
            fit_model(metric, None, samples, mos, ModelOrigin("a", None, files), 0, tmp_path)
    known = set(samples["sample_id"][:3])
    few = mos[(mos["dimension"] == "sync") | mos["sample_id"].isin(known)]
    with pytest.raises(UserError, match=r"metric kernel, dimension visual.*: 3 train rows have"):
        fitted(metric_of("kernel"), (samples, few, files), tmp_path)


def test_tables_of_one_extractor_that_were_made_differently_are_a_sentence(rated_dataset, tmp_path):
    make(tmp_path / "b", seed=1, about={**ABOUT, "options": {"frames": 8}})
    both = [tmp_path / "deep.parquet", tmp_path / "b" / "deep.parquet"]
    with pytest.raises(
        UserError, match="option frames 4, the other tables of deep with option frames 8"
    ):
        cross.read_identity("deep", both)
    with pytest.raises(UserError, match="not a feature table of lse"):
        cross.read_identity("lse", both)
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(UserError, match="not a Parquet file"):
        cross.read_identity("deep", [tmp_path / "x.parquet"])


def test_a_fit_leaves_no_checkpoints_behind(rated_dataset, tmp_path):
    fitted(metric_of("mlp"), rated_dataset, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "curves",
        "deep.parquet",
        "model.sfqa",
    ]
