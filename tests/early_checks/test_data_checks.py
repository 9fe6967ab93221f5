"""Mistakes in the user's data are sentences before the first job, and what was checked is remembered."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo_material import write_sheets
from sfqa.early_checks import known_samples, protocols
from sfqa.early_checks.default_protocols import choose_protocols
from sfqa.errors import UserError
from sfqa.plan import Plan
from sfqa.reference import ROOT, SCHEMA
from sfqa.regression.feature_columns import check_feature_columns
from sfqa.splits.group_counts import GroupCounts

VIDEOS = [(f"talk_{n}.mp4", "sonic") for n in range(8)]
IDS = [f"talk_{n}__sonic" for n in range(8)]
METRICS = {"Sharpness": {"kind": "zero_shot", "inputs": ["signal.sharpness"]}}
READY: dict[str, Any] = {
    "dataset": "ready",
    "mode": "import_videos",
    "import": {"sheet": "videos.csv"},
    "features": {"signal": {"weights": "none"}},
    "ratings": {
        "source": "wide", "path": "ratings.csv", "columns": {"rater": "rater"},
        "dimension_name": "quality",
    },
    "regression": {"metrics": METRICS},
}  # fmt: skip
BUILT: dict[str, Any] = {
    "dataset": "mine",
    "mode": "build",
    "materials": {"images": "images.csv", "clips": "clips.csv"},
    "pairs": {"count": 8},
    "generation": {"methods": ["sharp", "late"]},
    "features": {"signal": {"weights": "none"}},
    "ratings": {"source": "simulated"},
    "regression": {"metrics": METRICS},
}


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with eight videos, which are empty files, their sheet and ratings by two raters."""
    monkeypatch.chdir(tmp_path)
    write_videos(tmp_path, VIDEOS)
    write_ratings(tmp_path, IDS)
    return tmp_path


def write_videos(folder: Path, videos: list[tuple[str, str]]) -> None:
    for name, _ in videos:
        (folder / name).touch()
    rows = [f"{name},{method}" for name, method in videos]
    (folder / "videos.csv").write_text("\n".join(["video,method", *rows]) + "\n")


def write_ratings(folder: Path, ids: list[str]) -> None:
    """Write a row for each rater and a column for each video."""
    rows = [",".join([f"r{k}", *(str(1 + (n + k) % 5) for n in range(len(ids)))]) for k in (1, 2)]
    (folder / "ratings.csv").write_text("\n".join([",".join(["rater", *ids]), *rows]) + "\n")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sheets of five portraits and four clips."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources/demo").symlink_to(ROOT / "resources/demo")
    write_sheets(tmp_path, 5, 4)
    return tmp_path


def make_plan(config: dict[str, Any], **changes: Any) -> Plan:
    plan = Plan({**config, **changes}, SCHEMA, check_files=True)
    check_feature_columns(plan.configured_metrics, plan.config["features"])
    return plan


def change_ratings(**changes: Any) -> dict[str, Any]:
    return {"ratings": {**READY["ratings"], **changes}}


def change_metric(**changes: Any) -> dict[str, Any]:
    return {"regression": {"metrics": {"Sharpness": {**METRICS["Sharpness"], **changes}}}}


# Protocols


def test_the_default_protocols_follow_from_eight_videos(ready: Path) -> None:
    plan = make_plan(READY)
    assert plan.config["regression"]["protocols"] == [
        {"name": "random", "kind": "random_kfold", "k": 2}
    ]
    assert plan.main_protocol == "all"  # its only metric learns nothing
    assert plan.notes == [
        "Protocols by default: random (2 folds). Left out: disjoint (no sample has an image, a "
        "clip or a prompt); leave_one_method_out (1 method; it needs 3). Write "
        "regression.protocols to use others"
    ]


def test_the_default_protocols_follow_from_the_sheets_of_a_built_dataset(built: Path) -> None:
    plan = make_plan(BUILT)
    assert plan.config["regression"]["protocols"] == [
        {"name": "disjoint", "kind": "group_kfold", "groups": ["image"], "k": 4},
        {"name": "random", "kind": "random_kfold", "k": 4},
    ]
    assert "Left out: leave_one_method_out (2 methods; it needs 3)." in plan.notes[0]
    generation = {"methods": ["sharp", "late", "blurry"]}
    plan = make_plan(BUILT, generation=generation, pairs={"count": 10})
    assert [p["name"] for p in plan.config["regression"]["protocols"]] == [
        "disjoint", "random", "leave_one_method_out"
    ]  # fmt: skip
    assert plan.notes == []


def test_a_jobs_own_plan_has_the_same_protocols_without_reading_the_data(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make_plan(READY).config["regression"]["protocols"]
    monkeypatch.setattr(known_samples, "count_groups", None)
    monkeypatch.setattr(protocols, "choose_protocols", None)
    plan = Plan(READY, SCHEMA, check_files=False, needs_data=False)
    assert plan.config["regression"]["protocols"] == expected


@pytest.mark.parametrize(
    ("counts", "names", "reason"),
    [
        (GroupCounts(40, {"image": 20, "clip": 10, "method": 4}), ["image", "random", "lomo"], ""),
        (GroupCounts(40, {"image": 2, "clip": 10, "method": 4}), ["clip", "random", "lomo"], ""),
        (GroupCounts(40, {"image": 9, "method": 4}, {"image": 3}), ["random", "lomo"],
         "3 of 40 samples have no image"),
        (GroupCounts(40, {"image": 2, "method": 4}), ["random", "lomo"], "2 images; it needs 3"),
        (GroupCounts(3, {"method": 1}), ["random"], "no sample has an image"),
    ],
)  # fmt: skip
def test_what_the_default_protocols_need(
    counts: GroupCounts, names: list[str], reason: str
) -> None:
    chosen, left_out = choose_protocols(counts, lambda protocol: "")
    groups = [p.get("groups", [p["name"]])[0] for p in chosen]
    assert [{"leave_one_method_out": "lomo"}.get(name, name) for name in groups] == names
    assert left_out.get("disjoint", "").startswith(reason)


def test_few_samples_can_be_tried_and_one_cannot(ready: Path) -> None:
    write_videos(ready, VIDEOS[:3])
    write_ratings(ready, IDS[:3])
    assert make_plan(READY).config["regression"]["protocols"] == [
        {"name": "random", "kind": "random_kfold", "k": 2, "validation": 0}
    ]
    write_videos(ready, VIDEOS[:1])
    write_ratings(ready, IDS[:1])
    with pytest.raises(UserError, match=r"allow none of the default protocols: .* \(1 sample; it"):
        make_plan(READY)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"kind": "leave_one_method_out"}, "1 method is too few: train, validation and test need"),
        ({"kind": "group_kfold", "groups": ["image"]}, "no sample has an image; leave it out"),
        ({"kind": "group_kfold"}, "no image, clip or prompt to group by"),
        ({"kind": "random_kfold", "k": 9}, "8 samples are too few for 9 folds"),
        ({"kind": "fixed"}, "0 samples have the split 'train'"),
        ({"kind": "cross_dataset", "model": "results/thqa"}, None),
    ],
)
def test_a_protocol_that_the_samples_do_not_allow_is_a_sentence(
    ready: Path, protocol: dict[str, Any], message: str | None
) -> None:
    regression = {"metrics": METRICS, "protocols": [{"name": "mine", **protocol}]}
    if message is None:
        make_plan(READY, regression=regression)
        return
    with pytest.raises(UserError, match=f"protocols 'mine'.*{message}"):
        make_plan(READY, regression=regression)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"kind": "leave_one_method_out"}, "2 methods are too few"),
        ({"kind": "group_kfold", "groups": ["image"], "k": 6}, "5 different values of image are"),
        ({"kind": "leave_one_group_out", "groups": ["language"]}, "2 different values of language"),
    ],
)
def test_protocols_of_a_built_dataset_are_compared_with_its_sheets(
    built: Path, protocol: dict[str, Any], message: str
) -> None:
    regression = {"metrics": METRICS, "protocols": [{"name": "mine", **protocol}]}
    with pytest.raises(UserError, match=f"protocols 'mine': {message}"):
        make_plan(BUILT, regression=regression)


def test_too_many_pairs_for_the_sheets_are_a_sentence(built: Path) -> None:
    with pytest.raises(UserError, match="5 images and 4 clips give at most 13 pairs"):
        make_plan(BUILT, pairs={"count": 48})


def test_the_main_protocol_may_be_one_that_is_left_out(ready: Path) -> None:
    message = "correlation.protocol: 'disjoint' is not a protocol; .*no sample has an image"
    with pytest.raises(UserError, match=message):
        make_plan(READY, correlation={"protocol": "disjoint"})


# Ratings


def test_an_unknown_id_is_shown_with_the_nearest(ready: Path) -> None:
    write_ratings(ready, [name.removesuffix("__sonic") for name in IDS])
    message = "8 of 8 rated samples are not in the dataset, the first is 'talk_0'; did you mean 'talk_0__sonic'"
    with pytest.raises(UserError, match=re.escape(message)):
        make_plan(READY)
    write_ratings(ready, [*IDS[:7], "talk_77__sonic"])
    with pytest.raises(UserError, match=r"1 of 8 rated samples is not .* mean 'talk_7__sonic'"):
        make_plan(READY)


def test_raters_and_videos_that_are_swapped_are_recognised(ready: Path) -> None:
    swapped = change_ratings(columns={"sample_id": "rater"})
    for names in (IDS, [name.removesuffix("__sonic") for name in IDS]):
        write_ratings(ready, names)
        message = f"the columns are the videos, such as '{names[0]}': .* as 'rater' in place of"
        with pytest.raises(UserError, match=message):
            make_plan(READY, **swapped)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ({"source": "wide", "path": "ratings.csv"},
         "'dimension_name' is missing; if the table has one dimension, write its name as"),
        ({"source": "wide", "path": "ratings.csv", "dimension_name": "quality"},
         "give either 'sample_id' .* or 'rater'"),
        ({"source": "table", "path": "ratings.csv", "dimension_name": "quality",
          "columns": {"rater": "rater", "score": "score"}},
         "'sample_id' is missing; name its column in ratings.columns; .* columns .* are rater, talk"),
        ({"source": "table", "path": "ratings.csv", "dimension_name": "quality",
          "columns": {"rater": "rater", "sample_id": "video", "score": "score"}},
         "no column 'video'; .* is wide: source: wide with columns: {rater: rater} if"),
    ],
)  # fmt: skip
def test_the_shape_of_ratings_is_checked(
    ready: Path, ratings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(READY, ratings=ratings)


def test_ratings_of_a_built_dataset_are_compared_with_its_sheets(built: Path) -> None:
    columns = {name: name for name in ("rater", "sample_id", "score")}
    ratings = {"source": "table", "path": "r.csv", "columns": columns, "dimension_name": "q"}
    table = built / "r.csv"
    header = "rater,sample_id,score\n"
    table.write_text(header)  # people may rate the videos after they are made
    make_plan(BUILT, ratings=ratings)
    table.write_text(f"{header}anna,portrait01__pop_zh_01__sharp,3\n")
    make_plan(BUILT, ratings=ratings)
    table.write_text(f"{header}anna,portrait1__pop_zh_01__shrp,3\n")
    with pytest.raises(UserError, match=r"did you mean 'portrait01__pop_zh_01__sharp'"):
        make_plan(BUILT, ratings=ratings)


def test_dimensions_that_nobody_rates_are_a_sentence(ready: Path, built: Path) -> None:
    with pytest.raises(UserError, match=r"Sharpness.dimensions: no dimension 'nope' was rated; t"):
        make_plan(READY, **change_metric(dimensions=["nope"]))
    inputs = {"quality": "signal.sharpness"}
    make_plan(READY, **change_metric(inputs=inputs))
    with pytest.raises(UserError, match="no column for the dimension 'quality'"):
        make_plan(READY, **change_metric(inputs={"qualty": "signal.sharpness"}))
    with pytest.raises(UserError, match=r"no dimension 'visual_qualty' was rated; did you mean 'v"):
        make_plan(BUILT, **change_metric(dimensions=["visual_qualty"]))


# Metrics


@pytest.mark.parametrize("source", ["wide", "none"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "zeroshot"}, "no kind 'zeroshot'; did you mean 'zero_shot'"),
        ({"inputs": ["signal.sharpnes"]}, "no column 'sharpnes'; did you mean 'sharpness'"),
        ({"inputs": {"quality": "signal.sharpnes"}}, "did you mean 'sharpness'"),
    ],
)
def test_metrics_are_checked_with_ratings_and_without(
    ready: Path, source: str, change: dict[str, Any], message: str
) -> None:
    ratings = READY["ratings"] if source == "wide" else {"source": "none"}
    with pytest.raises(UserError, match=message):
        make_plan(READY, ratings=ratings, **change_metric(**change))


def test_a_missing_model_of_another_dataset_is_a_sentence(ready: Path) -> None:
    regression = {
        "metrics": {"ridge": {"kind": "regressor", "head": "ridge", "inputs": ["signal.sharpness"]}},
        "protocols": [{"name": "thqa", "kind": "cross_dataset", "model": "results/thqa"}],
    }  # fmt: skip
    plan = make_plan(READY, regression=regression)
    with pytest.raises(UserError, match=r"no model results/thqa/regression/ridge/model\.sfqa"):
        plan.check_model_files()


# Files


def test_missing_files_of_a_sheet_stop_the_plan_with_their_rows(ready: Path) -> None:
    (ready / VIDEOS[1][0]).unlink()
    (ready / VIDEOS[3][0]).rename(ready / "talk_33.mp4")
    with pytest.raises(UserError) as error:
        make_plan(READY)
    assert str(error.value) == (
        "videos.csv: 2 of 8 files are missing:\n"
        "  row 3: talk_1.mp4 (the nearest file there is 'talk_7.mp4')\n"
        "  row 5: talk_3.mp4 (the nearest file there is 'talk_33.mp4')\n"
        "Correct the paths, which start at the folder of the sheet, or write a line 'missing: skip' "
        "in the configuration to go on without these files"
    )
    plan = make_plan(READY, missing="skip")
    assert plan.notes[-1].startswith("videos.csv: 2 of 8 files are missing and are skipped")


def test_missing_files_of_many_are_found_by_listing_their_folder(ready: Path) -> None:
    videos = [(f"talk_{n:02d}.mp4", "sonic") for n in range(60)]
    write_videos(ready, videos)
    for name, _ in videos[10:25]:
        (ready / name).unlink()
    with pytest.raises(UserError, match=r"15 of 60 files are missing:\n  row 12: talk_10") as error:
        make_plan(READY, ratings={"source": "none"})
    assert "\n  and 5 more\n" in str(error.value)


def test_a_missing_picture_stops_the_plan_of_a_built_dataset(built: Path) -> None:
    sheet = built / "images.csv"
    sheet.write_text(sheet.read_text().replace("portrait02.webp", "portait02.webp"))
    with pytest.raises(UserError, match=r"row 3: .*portait02.webp \(the nearest .*'portrait02"):
        make_plan(BUILT)
    assert (
        "images.csv: 1 of 5 files is missing and is skipped"
        in make_plan(BUILT, missing="skip").notes[-1]
    )


def test_the_sha256_of_weights_is_compared_once(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = ready / "net.pth"
    weights.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    features = {"signal": {"weights": "none"}, "lse": {"weights": "net.pth", "sha256": "0" * 64}}
    with pytest.raises(UserError, match=f"lse.sha256: net.pth has the sha256 {sha256}, not 0000"):
        make_plan(READY, features=features)
    features["lse"]["sha256"] = sha256
    make_plan(READY, features=features)
    monkeypatch.setattr("sfqa.digests.hash_with_progress", None)
    make_plan(READY, features=features)  # is not hashed again


def test_only_what_changed_is_read_again(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_plan(READY)
    with monkeypatch.context() as patch:
        patch.setattr(known_samples.KnownSamples, "rows", None)
        patch.setattr("sfqa.early_checks.ratings.read_rating_names", None)
        make_plan(READY)
    write_ratings(ready, ["talk_0", *IDS[1:]])
    with pytest.raises(UserError, match="did you mean 'talk_0__sonic'"):
        make_plan(READY)


# The page on importing


def list_shapes() -> list[tuple[str, dict[str, Any]]]:
    """Return the tables of ratings in docs/importing.md, each with the section that describes it."""
    page = (ROOT / "docs/importing.md").read_text()
    pairs = re.findall(r"```csv\n(.+?)```\s+```yaml\n(.+?)```", page, flags=re.DOTALL)
    return [(table, yaml.safe_load(text)) for table, text in pairs]


@pytest.mark.parametrize(("table", "section"), list_shapes())
def test_the_shapes_of_ratings_in_the_documentation_are_read(
    ready: Path, table: str, section: dict[str, Any]
) -> None:
    write_videos(ready, [("fantasy_17.mp4", "fantasy"), ("sonic_17.mp4", "sonic"), *VIDEOS])
    (ready / "ratings.csv").write_text(table)
    make_plan(READY, **section)


def test_the_documentation_has_a_shape_for_each_reader() -> None:
    assert len(list_shapes()) == 6
