"""What a table must show when there is nothing to learn, when something leaks, and on bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from sfqa import store, tables
from sfqa.correlation.summarise import correlation_rows
from sfqa.errors import UserError
from sfqa.features.importing import import_table
from sfqa.regression import heads
from sfqa.regression.blocks import BlockDesign
from sfqa.regression.controls import score_control
from sfqa.regression.design import Design, load_design
from sfqa.regression.train import RatedFeatures, train_metric
from sfqa.splits.protocols import make_splits
from trials import compute_trial_statistics

IMAGES, CLIPS, METHODS = 10, 2, 5
PROTOCOLS = [
    {"name": "fixed", "kind": "fixed", "groups": ["image"], "validation": 0.2},
    {"name": "grouped", "kind": "group_kfold", "groups": ["image"], "k": 4},
    {"name": "random", "kind": "random_kfold", "k": 4},
    {"name": "unseen", "kind": "leave_one_method_out"},
    {"name": "group_trials", "kind": "group_trials", "groups": ["image"], "trials": 3},
    {"name": "random_trials", "kind": "random_trials", "trials": 3},
]
GROUPED, RANDOM = PROTOCOLS[1], PROTOCOLS[2]

#: Small versions of every head that learn in well under a second.
FAST = {"learning_rate": 1e-2, "epochs": 6, "dropout": 0.0}
OPTIONS = {
    "ridge": {}, "kernel": {}, "mlp": FAST | {"epochs": 15, "learning_rate": 0.03}, "random_forest": {"trees": 10},
    "svr": {"tries": 3}, "boosting": {"trees": 20, "learning_rate": 0.2},
    "blend": {"settings": {"boosting": {"trees": 20, "learning_rate": 0.2}}},
    "frame_ensemble": FAST | {
        "frames": [1, 2], "clusters": 2, "groups": 1, "expansion": 1, "hidden": 8, "epochs": 12,
    },
    "alignment": FAST | {"hidden": 8, "epochs": 12},
    "adapter_fusion": FAST | {"width": 8, "hidden": 8, "batch_rows": 32},
    "cross_attention": FAST | {"frames": 2, "clips": 2, "width": 8, "heads": 2, "hidden": 8},
    "vqa_head": FAST | {"hidden": 8, "warmup_epochs": 0.0, "ema": 0.0, "epochs": 12},
    "simplevqa": {"learning_rate": 0.03, "epochs": 15, "decay": 1.0, "batch_rows": 0},
    "aigc_vqa": FAST | {"hidden": 8}, "rectifier": FAST | {"hidden": 8, "learning_rate": 2e-2},
    "audio_visual_fusion": FAST | {
        "clips": 2, "segments": 2, "columns": 0, "state": 4, "hidden": [8], "width": 8,
    },
    "avqa_recurrent": FAST | {"steps": 2, "segment": 2, "width": 8, "mos_divisor": 0},
    "ugvq": FAST | {
        "width": 8, "layers": 1, "feedforward": 8, "fusion_feedforward": 8, "hidden": 8,
        "frames": 2, "clips": 2,
    },
}  # fmt: skip
POOLED = [name for name in OPTIONS if heads.read_design(name) == "pooled"]
#: How many inputs a head of sequences takes, where it is not three.
INPUTS = {"alignment": 2, "avqa_recurrent": 2, "cross_attention": 2, "frame_ensemble": 2}


#: Heads that read the mean over steps.
MEANS = ("alignment", "simplevqa")
#: How many of its inputs are maps.
MAPS = {"vqa_head": 3, "aigc_vqa": 2}


class World:
    """Samples of images x clips x methods; the MOS is half a feature's, half noise."""

    def __init__(self, seed: int = 0) -> None:
        cells = list(itertools.product(range(IMAGES), range(CLIPS), range(METHODS)))
        self.ids = [f"i{i}_c{c}_m{m}" for i, c, m in cells]
        self.image = np.array([i for i, _, _ in cells])
        self.samples = pd.DataFrame(
            {"sample_id": self.ids, "method": [f"m{m}" for _, _, m in cells]}
            | {"image_id": [f"i{i}" for i in self.image]}
            | {"clip_id": [f"c{c}" for _, c, _ in cells]}
            | {"split": ["train" if i < 8 else "val" for i in self.image]}
        )
        self.samples[["pair_id", "prompt"]] = None
        self.numbers = np.random.default_rng(seed)
        self.x = self.numbers.normal(size=(len(cells), 3)).astype(np.float32)
        self.y = 3 + self.x[:, 0] + 0.5 * self.numbers.normal(size=len(cells))

    def mos(self, y: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(
            {"sample_id": self.ids, "dimension": "quality", "mos": y, "synthetic": False}
            | {"status": "ok", "detail": ""}
        )

    def design(self, head: str, extra: np.ndarray | None = None) -> Design | BlockDesign:
        x = self.x if extra is None else np.column_stack([self.x, extra]).astype(np.float32)
        if heads.read_design(head) == "pooled":
            return Design(self.ids, x, [f"f{n}" for n in range(x.shape[1])], {})
        steps = np.repeat(x[:, None], 2, axis=1)
        # A head that reads a mean over steps gets it as a vector.
        named = dict.fromkeys("abc"[: INPUTS.get(head, 3)], x if head in MEANS else steps)
        maps = steps[..., None, None, None].astype(np.float16)
        named |= dict.fromkeys("abc"[: MAPS.get(head, 0)], maps)
        if head == "aigc_vqa":  # its third input is a vector
            named["c"] = x
        if head == "rectifier":  # its first input is a score
            named["a"] = x[:, :1]
        return BlockDesign(self.ids, named, {})

    def predictions(self, head, y, protocols, seed, work, extra=None):
        metric = {"name": head, "head": head, "options": OPTIONS[head]}
        rows = train_metric(
            metric,
            RatedFeatures(self.design(head, extra), self.samples, self.mos(y)),
            protocols,
            seed,
            work,
        )
        return pd.DataFrame(rows)

    def trials(self, head, y, protocols, seed, work, extra=None):
        """SRCC of every trial, by protocol."""
        found = compute_trial_statistics(
            self.predictions(head, y, protocols, seed, work, extra),
            self.mos(y), self.samples, [labelled(head)],
        )  # fmt: skip
        return found[["protocol", "trial", "n", "srcc"]]


def labelled(name, kind="regressor"):
    return {"name": name, "group": "g", "kind": kind, "direction": 1, "weights": "none"}


#: Heads that train a backbone from pictures, which the world of this file does not have.
BACKBONES = {"fine_tuned"}


def test_every_head_is_among_those_that_are_tested():
    assert set(OPTIONS) | BACKBONES == set(heads.list_heads())


#: Heads whose fits take most of the time of the test below; others of their kind are always tried.
SLOW_HEADS = (
    "cross_attention", "frame_ensemble", "alignment", "adapter_fusion", "vqa_head", "aigc_vqa",
    "ugvq", "audio_visual_fusion", "avqa_recurrent",
)  # fmt: skip


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(head, marks=[pytest.mark.thorough] if head in SLOW_HEADS else [])
        for head in OPTIONS
    ],
)
def test_shuffled_labels_show_no_srcc_under_any_protocol(head, tmp_path):
    world = World()
    y = world.numbers.permutation(world.y)
    trials = world.trials(head, y, PROTOCOLS, 0, tmp_path)
    real = world.trials(head, world.y, [RANDOM], 0, tmp_path)
    assert set(trials["protocol"]) == {p["name"] for p in PROTOCOLS}
    for name, part in trials.groupby("protocol"):
        # Whatever is predicted, SRCC with labels in random order has mean 0 and variance 1/(n-1);
        # a trial without one (all predictions equal) counts as the 0 that it stands for.
        sd = np.sqrt((1 / (part["n"] - 1)).sum()) / len(part)
        assert abs(part["srcc"].fillna(0).astype(float).mean()) < 4 * sd, name
    # The same head, rows and protocol on the real labels: the world can be learnt.
    assert real["srcc"].mean() > 0.6


def test_controls_are_one_undefined_and_nothing():
    world = World()
    rows = [
        row
        for control in ("oracle", "constant", "random")
        for row in score_control(
            {"name": control, "head": control}, world.samples, world.mos(world.y), PROTOCOLS[:4], 0
        )
    ]
    listed = [labelled(c, "control") for c in ("oracle", "constant", "random")]
    table = pd.DataFrame(
        correlation_rows(pd.DataFrame(rows), world.mos(world.y), world.samples, listed)
    )
    assert set(table["protocol"]) == {p["name"] for p in PROTOCOLS[:4]}
    oracle = table[table["metric"] == "oracle"]
    np.testing.assert_allclose(oracle["srcc"].astype(float), 1.0, rtol=0, atol=1e-12)
    constant = table[table["metric"] == "constant"]
    assert constant["srcc"].isna().all()
    assert constant["detail"].str.contains("constant_scores").all()
    assert (constant["status"] == "failed").all()
    random = table[(table["metric"] == "random") & (table["level"] == "video")]
    assert (random["srcc"].abs().astype(float) < 4 / np.sqrt(random["n"] - 1)).all()


@pytest.mark.parametrize("head", ["kernel", "random_forest", "svr"])
def test_a_feature_that_names_the_portrait_is_seen_by_the_gap(head, tmp_path):
    gaps = {"honest": [], "leaking": []}
    for seed in range(2):
        world = World(seed)
        # What raters think of a portrait is in no honest feature. A face's embedding says who it is.
        y = world.y + 2 * world.numbers.normal(size=IMAGES)[world.image]
        code = world.numbers.normal(size=(IMAGES, 6))[world.image]
        for name, extra in (("honest", None), ("leaking", code)):
            found = world.trials(head, y, [GROUPED, RANDOM], seed, tmp_path, extra)
            mean = found.groupby("protocol")["srcc"].mean()
            gaps[name].append(mean["random"] - mean["grouped"])
    assert np.mean(gaps["leaking"]) > 0.2
    assert np.mean(gaps["leaking"]) > np.mean(gaps["honest"]) + 0.15
    # Below 0 it may be: two portraits a fold are ranked better than rows of all ten.
    assert np.mean(gaps["honest"]) < 0.1


@pytest.mark.parametrize("head", ["ridge", "kernel", "random_forest"])
def test_the_mos_of_test_rows_in_a_feature_teaches_nothing(head, tmp_path):
    fixed, gained, known = PROTOCOLS[0], [], []
    for seed in range(3):
        world = World(seed)
        y = world.y + world.numbers.normal(size=len(world.y))
        test = (world.samples["split"] == "val").to_numpy()
        only_test = np.where(test, y, y.mean() + y.std() * world.numbers.normal(size=len(y)))
        srcc = [
            float(world.trials(head, y, [fixed], seed, tmp_path, extra)["srcc"].iloc[0])
            for extra in (None, only_test, y)
        ]
        gained.append(srcc[1] - srcc[0])
        known.append(srcc[2])
    # Noise in train may be given a small weight, for good or ill.
    assert abs(np.mean(gained)) < 0.15
    # In the train rows too it would be learnt: this is what a column of MOS looks like.
    assert np.mean(known) > 0.9


# Heads of sequences share one training: one of them stands for all.
@pytest.mark.parametrize("head", [*POOLED, "aigc_vqa"])
def test_labels_of_test_rows_change_no_prediction(head, tmp_path):
    world = World()
    before = world.predictions(head, world.y, [GROUPED], 0, tmp_path / "a")
    (first, *_) = make_splits(world.samples, GROUPED, 0)
    others = np.array([first.part[s] == "test" for s in world.ids])
    y = np.where(others, -50 * world.y, world.y)
    after = world.predictions(head, y, [GROUPED], 0, tmp_path / "b")
    of_first = (before["trial"] == 0).to_numpy()
    assert (before["prediction"][of_first] == after["prediction"][of_first]).all()
    if head != "svr":  # a machine may have all of its rows inside the margin
        assert (before["prediction"] != after["prediction"])[~of_first].any()


def imported(folder, change):
    """A table of features and MOS as a user brings it, with something wrong in it."""
    world = World()
    frame = pd.DataFrame(world.x.astype(float), columns=["f0", "f1", "f2"])
    frame.insert(0, "id", world.ids)
    frame["score"] = world.y
    frame = change(frame)
    frame.to_csv(folder / "table.csv", index=False)
    got = import_table(
        {"table": folder / "table.csv", "id": "id", "mos": {"quality": "score"},
         "pattern": r"(?P<image>i\d+)_(?P<clip>c\d+)_(?P<method>m\d+)"}, 1,
    )  # fmt: skip
    store.write(tables.SAMPLES, got.samples, folder / "samples.parquet")
    store.write(tables.MOS, got.mos, folder / "mos.parquet")
    store.write_arrow(got.features, folder / "features.parquet")
    design = load_design({"imported": [folder / "features.parquet"]}, ["imported"])
    samples, mos = (
        store.read(t, folder / f"{n}.parquet")
        for t, n in ((tables.SAMPLES, "samples"), (tables.MOS, "mos"))
    )
    return design, samples, mos


def with_faults(frame):
    """Features missing, a column that is constant, MOS missing, and a portrait with one row."""
    frame.loc[3, "f1"], frame.loc[44, "f0"] = np.nan, np.inf
    frame = frame.assign(f2=7.0)
    frame.loc[[0, 17, 55], "score"] = np.nan
    return frame[~frame["id"].str.startswith("i4_") | (frame["id"] == "i4_c0_m4")]


@pytest.mark.parametrize("head", POOLED)
def test_every_sample_stays_a_row_whatever_is_wrong_with_it(head, tmp_path):
    design, samples, mos = imported(tmp_path, with_faults)
    assert len(samples) == len(mos) == 91
    metric = {"name": head, "head": head, "options": OPTIONS[head]}
    protocols = PROTOCOLS[1:4]
    rows = train_metric(
        metric, RatedFeatures(design, samples, mos), protocols, 0, tmp_path / "work"
    )
    store.to_arrow(tables.PREDICTIONS, rows)
    frame = pd.DataFrame(rows)
    tested = frame[frame["part"] == "test"]
    reasons = {
        "i0_c0_m3": "not_a_number: f1 is empty; empty_feature: imported.f1",
        "i4_c0_m4": "not_a_number: f0 is 'inf', not a finite number; empty_feature: imported.f0",
    }
    for _, part in tested.groupby("protocol"):
        assert sorted(part["sample_id"]) == sorted(samples["sample_id"])
        bad = part[part["status"] == "failed"].set_index("sample_id")
        assert bad["detail"].to_dict() == reasons
        assert bad["prediction"].isna().all()
        good = part[part["status"] != "failed"]
        assert np.isfinite(good["prediction"].astype(float)).all()
    table = pd.DataFrame(correlation_rows(frame, mos, samples, [labelled(head)]))
    assert np.isfinite(table["srcc"].astype(float)).all()
    for told in table["detail"]:
        assert "dropped: 2 of 91 test rows have no score" in told
        assert "no_mos: 3 of 91 test rows have no MOS" in told


def test_rows_with_a_mos_of_none_are_tested_but_teach_nothing(tmp_path):
    design, samples, mos = imported(tmp_path, with_faults)
    assert (mos["status"] == "failed").sum() == 3
    assert mos.loc[mos["status"] == "failed", "detail"].str.startswith("no_mos: ").all()
    metric = {"name": "r", "head": "ridge", "options": {}}
    rows = pd.DataFrame(
        train_metric(metric, RatedFeatures(design, samples, mos), [RANDOM], 0, tmp_path)
    )
    unrated = set(mos.loc[mos["status"] == "failed", "sample_id"])
    assert unrated <= set(rows.loc[rows["part"] == "test", "sample_id"])
    filled = mos.assign(mos=mos["mos"].fillna(1e6))
    again = train_metric(metric, RatedFeatures(design, samples, filled), [RANDOM], 0, tmp_path)
    assert pd.DataFrame(again)["prediction"].equals(rows["prediction"])
    assert rows["prediction"].notna().sum() > 80


@pytest.mark.parametrize("head", POOLED)
def test_a_part_that_is_left_empty_has_a_reason(head, tmp_path):
    world = World()
    metric = {"name": head, "head": head, "options": OPTIONS[head]}
    design = world.design(head)
    # All that a trial could be tested on has no features.
    lost = {s: "no_face: none was found" for s in world.ids if s.endswith("m0")}
    kept = [n for n, s in enumerate(world.ids) if s not in lost]
    without = Design([world.ids[n] for n in kept], design.X[kept], design.names, lost)
    protocol = PROTOCOLS[3]
    rows = pd.DataFrame(
        train_metric(
            metric,
            RatedFeatures(without, world.samples, world.mos(world.y)),
            [protocol],
            0,
            tmp_path / "a",
        )
    )
    tested = rows[rows["part"] == "test"]
    assert sorted(tested["sample_id"]) == world.ids
    assert set(tested.loc[tested["sample_id"].isin(lost), "detail"]) == {"no_face: none was found"}
    found = compute_trial_statistics(rows, world.mos(world.y), world.samples, [labelled(head)])
    first = found[found["trial"] == 0].iloc[0]
    assert (first["n"], first["status"]) == (0, "failed")
    assert first["detail"].startswith("too_few: 0 points")
    # All that a trial could learn from has no MOS.
    unrated = world.mos(np.where(world.image < 8, np.nan, world.y))
    rows = pd.DataFrame(
        train_metric(
            metric, RatedFeatures(design, world.samples, unrated), PROTOCOLS[:1], 0, tmp_path / "b"
        )
    )
    assert sorted(rows.loc[rows["part"] == "test", "sample_id"]) == [
        s for s, i in zip(world.ids, world.image, strict=True) if i >= 8
    ]
    assert set(rows["detail"]) == {"too_few_rows: 0 train rows have features and MOS"}


@pytest.mark.parametrize(
    ("protocol", "change", "message"),
    [
        (PROTOCOLS[0], {"split": "train"}, "100 samples have the split 'train' and 0 'val'"),
        (PROTOCOLS[0], {"split": None}, "0 samples have the split 'train' and 0 'val'"),
        (GROUPED | {"k": 11}, {}, "10 different values of image are too few for 11 folds"),
        (PROTOCOLS[3], {"method": "m"}, "1 method is too few"),
        (PROTOCOLS[4], {"image_id": "i"}, "1 different values of image are too few for 3 parts"),
        (GROUPED, {"image_id": None}, "no sample has an image"),
    ],
)
def test_a_split_that_cannot_be_made_is_a_sentence(protocol, change, message, tmp_path):
    world = World()
    samples = world.samples.assign(**change)
    metric = {"name": "r", "head": "ridge", "options": {}}
    mos = world.mos(world.y)
    with pytest.raises(UserError, match=message):
        train_metric(
            metric, RatedFeatures(world.design("ridge"), samples, mos), [protocol], 0, tmp_path
        )
