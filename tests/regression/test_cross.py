from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.regression import cross
from sfqa.regression.controls import score_control
from sfqa.regression.design import load_design
from sfqa.regression.fitting import ModelOrigin, fit_model
from sfqa.regression.model_files import Scorer, read, write
from sfqa.regression.train import RatedFeatures, load_features, train_metric
from sfqa.regression.zero_shot import score_metric
from sfqa.splits.protocols import make_splits, validation_share

ABOUT = {
    "extractor": "deep", "version": 3, "options": {"frames": 4},
    "weights": {"kind": "official", "identity": "ab" * 32},
}  # fmt: skip
FORM = {
    "short_side": 512,
    "fps": 25,
    "sample_rate": 16000,
    "crf": 12,
    "preset": "veryfast",
    "mode": "encode",
}
RIDGE = {
    "name": "r",
    "kind": "regressor",
    "head": "ridge",
    "inputs": ["deep"],
    "options": {},
    "dimensions": None,
}
CROSS = {"name": "from_a", "kind": "cross_dataset", "model": "results/a"}
SCALARS = ("a", "b", "c")


def dataset(
    folder: Path,
    seed: int,
    names=SCALARS,
    rows: int = 24,
    about=ABOUT,
    steps: int = 0,
    dimension="quality",
):
    """Samples, MOS (10 a) and one table of scalars ``names``; with ``steps``, of one tensor ``t``."""
    numbers = np.random.default_rng(seed)
    made, samples, mos = [], [], []
    for n in range(rows):
        name = f"s{seed}n{n:02}"
        values = dict(zip(SCALARS, numbers.normal(size=3), strict=True))
        row = {"sample_id": name, "method": f"m{n % 3}", "key": None, "status": "ok", "detail": ""}
        extra = {k: float(n) for k in names if k not in values}
        row |= (
            {"t": numbers.normal(size=(steps, 2))}
            if steps
            else {k: (values | extra)[k] for k in names}
        )
        made.append(row)
        samples.append(
            {"sample_id": name, "method": f"m{n % 3}", "image_id": f"i{n % 6}", "clip_id": None}
        )
        mos.append({"sample_id": name, "dimension": dimension, "mos": 10 * values["a"], "synthetic": False,
                    "status": "ok", "detail": ""})  # fmt: skip
    kinds = [base.Feature(k, k, dtype="float64") for k in names]
    if steps:
        kinds = [base.Feature("t", "t", ("frame", "channel"), "float32")]
    path = folder / f"deep-{seed}.parquet"
    store.write_arrow(base.build_table(kinds, made), path, about)
    return pd.DataFrame(samples), pd.DataFrame(mos), {"deep": [path]}


def model_of(rated_dataset, folder: Path, metric=RIDGE, conform=FORM):
    samples, mos, files = rated_dataset
    design = load_features(metric, files, folder)
    about, arrays = fit_model(
        metric, design, samples, mos, ModelOrigin("a", conform, files), 0, folder
    )
    write(folder / "model.sfqa", about, arrays)
    return read(folder / "model.sfqa")


@pytest.fixture
def model(tmp_path):
    return model_of(dataset(tmp_path, 1), tmp_path)


def rows_of(model, rated_dataset, folder, metric=RIDGE, protocol=CROSS):
    samples, mos, files = rated_dataset
    design = cross.load_model_features(model, files, folder)
    return cross.score_cross_dataset(metric, protocol, model, design, samples, mos)


def test_every_row_of_the_other_dataset_is_tested_once(model, tmp_path):
    rated_dataset = dataset(tmp_path, 2)
    rows = rows_of(model, rated_dataset, tmp_path)
    store.to_arrow(tables.PREDICTIONS, rows)
    frame = pd.DataFrame(rows).set_index("sample_id")
    assert sorted(frame.index) == sorted(rated_dataset[0]["sample_id"])
    assert set(frame["part"]) == {"test"}
    assert set(frame["trial"]) == {0}
    assert set(frame["protocol"]) == {"from_a"}
    assert set(frame["status"]) == {"ok"}
    truth = rated_dataset[1].set_index("sample_id")["mos"]
    assert np.abs(frame["prediction"] - truth).max() < 0.1  # ridge has found 10 a
    expected = Scorer(model).predict(load_design(rated_dataset[2], ["deep"]).X)[:, 0]
    assert (frame.loc[sorted(frame.index), "prediction"].to_numpy() == expected).all()


def test_columns_are_matched_by_name_and_not_by_place(model, tmp_path):
    (tmp_path / "x").mkdir()
    plain = rows_of(model, dataset(tmp_path, 2), tmp_path)
    turned = rows_of(model, dataset(tmp_path / "x", 2, ("more", "c", "b", "a")), tmp_path)
    assert [r["prediction"] for r in turned] == [r["prediction"] for r in plain]


@pytest.mark.parametrize(
    ("changes", "here", "there"),
    [
        ({"version": 4}, "made with VERSION 4,", "trained on VERSION 3;"),
        ({"options": {"frames": 8}}, "made with option frames 8,", "trained on option frames 4;"),
        ({"weights": {"kind": "random", "identity": "random:0"}}, "weights random:0", f"weights sha256 {'ab' * 32}"),
        ({"version": 4, "options": {}}, "VERSION 4, option frames none", "VERSION 3, option frames 4"),
    ],
)  # fmt: skip
def test_features_made_otherwise_are_refused_in_the_words_of_both_sides(
    model, tmp_path, changes, here, there
):
    rated_dataset = dataset(tmp_path, 2, about={**ABOUT, **changes})
    with pytest.raises(UserError) as error:
        rows_of(model, rated_dataset, tmp_path)
    assert here in str(error.value)
    assert there in str(error.value)
    assert "model.sfqa" in str(error.value)


def test_missing_columns_and_extractors_are_refused_in_the_words_of_both_sides(model, tmp_path):
    rated_dataset = dataset(tmp_path, 2, ("a", "c", "d"))
    with pytest.raises(
        UserError,
        match=r"deep has the columns a, c, d; the model .*\(a\) reads a, b, c, of which b is missing",
    ):
        rows_of(model, rated_dataset, tmp_path)
    with pytest.raises(UserError, match="reads features of deep; available are those of other"):
        cross.load_model_features(model, {"other": rated_dataset[2]["deep"]}, tmp_path)


def test_another_shape_is_refused_and_open_steps_are_those_of_the_training(tmp_path):
    pooled = RIDGE | {"inputs": ["deep.t"]}
    model = model_of(dataset(tmp_path, 1, steps=3), tmp_path, pooled)
    assert model.metadata["inputs"][0]["shape"] == [2]
    # The mean over steps has one width for any number of them.
    assert {
        r["status"] for r in rows_of(model, dataset(tmp_path, 2, steps=5), tmp_path, pooled)
    } == {"ok"}
    rated_dataset = dataset(tmp_path, 3, steps=5)
    path = rated_dataset[2]["deep"][0]
    table = pq.read_table(path)
    wide = {b"inner_shape": b"1", b"axes": b"frame,channel"}
    place = table.schema.get_field_index("t")
    pq.write_table(
        table.cast(table.schema.set(place, table.schema.field("t").with_metadata(wide))), path
    )
    with pytest.raises(
        UserError,
        match=r"deep.t has the shape \[1\] in each row, the model .* was trained on \[2\]",
    ):
        rows_of(model, rated_dataset, tmp_path, pooled)
    assert cross._fix_steps(cross.Steps(None, "cyclic"), [4, 7]).count == 4
    assert cross._fix_steps(cross.Steps(2), [4, 7]).count == 2
    assert cross._fix_steps(cross.Steps(0), [7]).count == 0


def test_videos_in_another_form_are_refused(model):
    cross.check_conform(model, {**FORM, "expect": ["sound"]})
    with pytest.raises(
        UserError,
        match="the videos here have short_side 256, fps 30, those of the model .* short_side 512, fps 25",
    ):
        cross.check_conform(model, {**FORM, "short_side": 256, "fps": 30})
    with pytest.raises(UserError, match="ready features, of unknown videos"):
        cross.check_conform(model, None)


def test_a_metric_of_the_same_name_must_be_the_same(model, tmp_path):
    rated_dataset = dataset(tmp_path, 2)
    with pytest.raises(UserError, match="metric r has select srcc here and select mse in"):
        rows_of(model, rated_dataset, tmp_path, RIDGE | {"options": {"select": "srcc"}})
    with pytest.raises(UserError, match="head kernel"):
        rows_of(model, rated_dataset, tmp_path, RIDGE | {"head": "kernel"})


def test_dimensions_are_matched_by_name_or_as_told(model, tmp_path):
    samples, mos, files = dataset(tmp_path, 2, dimension="visual")
    with pytest.raises(
        UserError,
        match=r"rated here are visual, .* predicts quality; .*dimensions: \{visual: quality\}",
    ):
        rows_of(model, (samples, mos, files), tmp_path)
    told = CROSS | {"dimensions": {"visual": "quality"}}
    rows = rows_of(model, (samples, mos, files), tmp_path, protocol=told)
    assert {(r["dimension"], r["status"]) for r in rows} == {("visual", "ok")}
    with pytest.raises(UserError, match=r"dimensions.visual: .* has no dimension 'qualty'"):
        rows_of(
            model,
            (samples, mos, files),
            tmp_path,
            protocol=CROSS | {"dimensions": {"visual": "qualty"}},
        )
    both = pd.concat([mos, mos.assign(dimension="quality")])
    rows = pd.DataFrame(rows_of(model, (samples, both, files), tmp_path))
    assert len(rows) == 48
    lost = rows[rows["dimension"] == "visual"]
    assert set(lost["status"]) == {"failed"}
    assert lost["detail"].str.startswith("no_model: ").all()
    assert set(rows[rows["dimension"] == "quality"]["status"]) == {"ok"}


def test_rows_that_the_model_learnt_from_test_nothing(model, tmp_path):
    mine = dataset(tmp_path, 1)
    with pytest.raises(UserError, match=r"was trained on these very samples \(a\)"):
        rows_of(model, mine, tmp_path)
    other = dataset(tmp_path, 2)
    samples = pd.concat([mine[0].iloc[:5], other[0]])
    mos = pd.concat([mine[1].iloc[:5], other[1]])
    table = pq.read_table(mine[2]["deep"][0])
    pq.write_table(table.slice(0, 5), tmp_path / "some.parquet")
    files = {"deep": [tmp_path / "some.parquet", *other[2]["deep"]]}
    rows = pd.DataFrame(rows_of(model, (samples, mos, files), tmp_path)).set_index("sample_id")
    learnt = rows.loc[mine[0]["sample_id"][:5]]
    assert set(learnt["status"]) == {"failed"}
    assert set(learnt["detail"]) == {cross.LEARNT}
    assert set(rows.loc[other[0]["sample_id"], "status"]) == {"ok"}


def test_samples_that_share_materials_with_the_training_test_nothing_unless_told(tmp_path):
    samples, mos, files = dataset(tmp_path, 1)
    samples["image_sha256"] = [f"sha{n % 6}" for n in range(24)]
    samples["prompt"] = [f"a prompt {n % 4}" for n in range(24)]
    model = model_of((samples, mos, files), tmp_path)
    samples, mos, files = dataset(tmp_path, 2)
    rated_dataset = samples, mos, files
    samples["image_sha256"] = ["sha5", "sha9", None] * 8
    samples["prompt"] = ["another"] * 8 + ["a prompt 3"] * 4 + [None] * 11 + ["one more"]
    rows = pd.DataFrame(rows_of(model, rated_dataset, tmp_path)).set_index("sample_id")
    ids = samples["sample_id"]
    said = rows.loc[ids, "detail"].tolist()
    of = "shared_material: the model learnt from a sample of the same "
    for n in range(24):
        # A method's rows have several prompts here, so each is content.
        expected = f"{of}image" if n % 3 == 0 else f"{of}prompt" if 8 <= n < 12 else ""
        assert said[n] == expected, n
    assert rows["prediction"].isna().sum() == sum(bool(s) for s in said) == 11
    told = rows_of(model, rated_dataset, tmp_path, protocol=CROSS | {"allow_shared": True})
    assert {r["status"] for r in told} == {"ok"}
    samples["image_sha256"] = "sha0"
    with pytest.raises(UserError, match="every sample shares an image, clip or prompt"):
        rows_of(model, rated_dataset, tmp_path)


def test_a_sample_without_features_is_a_row_with_the_reason(model, tmp_path):
    samples, mos, files = dataset(tmp_path, 2)
    gone, empty = samples["sample_id"][:2]
    table = pq.read_table(files["deep"][0]).to_pylist()
    table = [r | ({"b": None, "status": "flawed", "detail": "odd: x"} if r["sample_id"] == empty else {})
             for r in table if r["sample_id"] != gone]  # fmt: skip
    kinds = [base.Feature(k, k, dtype="float64") for k in SCALARS]
    store.write_arrow(base.build_table(kinds, table), files["deep"][0], ABOUT)
    rows = pd.DataFrame(rows_of(model, (samples, mos, files), tmp_path)).set_index("sample_id")
    assert len(rows) == 24
    assert rows.loc[gone, "detail"].startswith("no_features: ")
    assert rows.loc[empty, "detail"] == "odd: x; empty_feature: deep.b"
    assert (rows["status"] == "ok").sum() == 22


def test_what_needs_no_training_is_scored_on_all_rows(tmp_path):
    samples, mos, files = dataset(tmp_path, 2)
    zero = {"name": "z", "inputs": ["deep.a"], "dimensions": None}
    design = load_design(files, zero["inputs"])
    for rows in (
        score_metric(zero, design, samples, mos, [CROSS], 0),
        score_control({"name": "oracle", "head": "oracle"}, samples, mos, [CROSS], 0),
    ):
        assert [r["sample_id"] for r in rows] == sorted(samples["sample_id"])
        assert {(r["part"], r["trial"], r["status"]) for r in rows} == {("test", 0, "ok")}
    design = load_design(files, ["deep"])
    assert (
        train_metric(RIDGE, RatedFeatures(design, samples, mos), [CROSS], 0, tmp_path / "w") == []
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": None}, "model: None; write the results folder"),
        ({"model": 3}, "model: 3; write the results folder"),
        (
            {"dimensions": ["quality"]},
            r"dimensions: \['quality'\]; write the name of each dimension",
        ),
        ({"k": 3}, "unknown key 'k'; kind cross_dataset has model, dimensions, allow_shared"),
    ],
)
def test_a_wrong_protocol_is_a_sentence(tmp_path, changes, sentence):
    samples, _, _ = dataset(tmp_path, 2)
    assert validation_share(CROSS) == 0
    with pytest.raises(UserError, match=rf"regression.protocols 'from_a'.*{sentence}"):
        make_splits(samples, CROSS | changes, 0)


def test_a_dataset_without_a_usable_row_is_rows_with_reasons(model, tmp_path):
    samples, mos, files = dataset(tmp_path, 2)
    table = pq.read_table(files["deep"][0]).to_pylist()
    gone = [r | {"status": "failed", "detail": "broken: x"} for r in table]
    kinds = [base.Feature(k, k, dtype="float64") for k in SCALARS]
    store.write_arrow(base.build_table(kinds, gone), files["deep"][0], ABOUT)
    crossed = rows_of(model, (samples, mos, files), tmp_path)
    own = {"name": "own", "kind": "random_kfold", "k": 2}
    trained = train_metric(
        RIDGE, RatedFeatures(load_design(files, ["deep"]), samples, mos), [own], 0, tmp_path
    )
    for rows in (crossed, trained):
        assert {r["sample_id"] for r in rows} == set(samples["sample_id"])
        assert {(r["status"], r["detail"]) for r in rows} == {("failed", "broken: x")}
