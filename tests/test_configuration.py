from __future__ import annotations

import pytest
import yaml

from sfqa import sheets
from sfqa.configuration import complete_config
from sfqa.errors import UserError
from sfqa.reference import ROOT, SCHEMA


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    """Paths of a configuration start at the working directory."""
    monkeypatch.chdir(ROOT)


def demo(**change):
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    return config | change


def test_the_embedded_default_is_complete_config():
    config = complete_config(demo(), SCHEMA)
    assert config["conform"]["crf"] == 12
    assert config["ratings"]["scale"] == "zscore"
    assert config["features"]["slowfast"]["weights_seed"] == 0
    assert complete_config(demo(features={"clip": {"weights": "random"}}), SCHEMA)["features"]["clip"] == {
        "weights": "random", "weights_seed": 0, "options": {},
    }  # fmt: skip


def test_numbers_written_as_text_on_the_command_line_are_numbers():
    given = {"image_px": "512", "clip_sec": ["5", "6.5"]}
    config = complete_config(demo(materials=given, max_failed="0.5"), SCHEMA)
    assert config["materials"]["image_px"] == 512
    assert config["materials"]["clip_sec"] == [5, 6.5]
    assert config["max_failed"] == 0.5
    assert complete_config(demo(dataset="123"), SCHEMA)["dataset"] == "123"


def test_defaults_are_files_of_the_project_and_other_paths_start_at_the_working_directory(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = complete_config(demo(), SCHEMA)
    assert config["materials"]["images"] == str(ROOT / "resources/demo/images.csv")
    assert config["generation"]["registry"] == str(ROOT / "config/methods.yaml")
    assert config["generation"]["generators"] == str(ROOT / "resources/generators")
    with pytest.raises(UserError) as error:
        complete_config(demo(materials={"images": "config/methods.yaml"}), SCHEMA)
    assert f"paths start at the working directory, {tmp_path}" in str(error.value)
    (tmp_path / "my.csv").touch()
    mine = complete_config(demo(materials={"images": "my.csv"}), SCHEMA)
    assert mine["materials"]["images"] == "my.csv"


def test_defaults_are_filled_at_every_depth_and_the_given_stays():
    given = demo(materials={"image_px": 512}, features={"clip": {"weights": "random"}})
    config = complete_config(given, SCHEMA)
    assert config["materials"] == {
        "images": "resources/demo/images.csv", "clips": "resources/demo/clips.csv",
        "image_px": 512, "sample_rate": 48000, "clip_sec": [5.0, 7.0], "vocabulary": {},
    }  # fmt: skip
    assert config["features"]["clip"]["options"] == {}
    assert given["materials"] == {"image_px": 512}, "the given configuration changed"
    assert given["features"] == {"clip": {"weights": "random"}}, "the given configuration changed"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methds": 1}, "unknown key 'methds'"),
        ({"conform": {"shortside": 3}}, "config, conform: unknown key 'shortside'; did you mean 'short_side'"),
        ({"import": {"sheet": "a.csv", "missing": "skip"}},
         "config, import: unknown key 'missing'; it belongs to no section: write it at the beginning"),
        ({"door": "build"}, "config: the key 'door' is now called 'mode'; write 'mode: build'"),
        ({"mode": "import"}, "'import' is not possible; did you mean 'import_videos'"),
        ({"shards": 0}, "config, shards: 0 is less than the minimum of 1"),
        ({"shards": "four"}, "config, shards: 'four' is not of type integer"),
        ({"features": {"lse": {}}}, "config, features.lse: the key 'weights' is missing"),
        ({"features": {"lse": {"weights": "no.pt"}}}, "features.lse.weights: there is no file 'no.pt'"),
        ({"materials": {"images": "no.csv"}}, "materials.images: there is no file 'no.csv'"),
        ({"materials": {"images": "synthetic"}},
         "materials.images: 'synthetic' is no longer possible; write 'images: resources/demo/images.csv'"),
        ({"materials": {"clips": "synthetic"}},
         "materials.clips: 'synthetic' is no longer possible; write 'clips: resources/demo/clips.csv'"),
        ({"materials": {"synthetic": {"images": 4}}},
         "'synthetic' is no longer known; .*'images: resources/demo/images.csv' and 'clips: resources/demo/clips.csv'"),
        ({"materials": {"clip_sec": [7, 5]}}, "materials.clip_sec: 7 is not below 5"),
        ({"generation": {}}, "generation.methods: missing"),
        ({"ratings": {"source": "table", "path": "x.csv"}}, "ratings.path: there is no file 'x.csv'"),
        ({"correlation": {"protocol": "disjont"}}, "'disjont' is not a protocol; did you mean 'disjoint'"),
        ({"mode": "import_videos", "import": {}}, "either a sheet or a folder"),
        ({"mode": "import_features", "import": {"id": "a"}}, "import.table: missing"),
        (
            {"mode": "import_videos", "import": {"folder": "config"}, "ratings": {"source": "none"}},
            "import.pattern: missing",
        ),
        (
            {
                "mode": "import_videos",
                "import": {"folder": "config", "labels": {"files": "a.csv", "mos": {"overall": "a", "video": "b"}}},
                "ratings": {"source": "labels"},
            },
            "import.labels.mos: a dimension is called 'overall', as the tables call the mean",
        ),
        ({"dataset": "../x"}, "config, dataset"),
    ],
)  # fmt: skip
def test_every_mistake_is_a_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        complete_config(demo(**change), SCHEMA)


def test_weights_need_their_sha256(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="features.lse.sha256: missing"):
        complete_config(demo(features={"lse": {"weights": str(path)}}), SCHEMA)


SHEET = "image_id,path,source,category,licence\na,a.png,ai,elf,\nb,b.png,real,man,CC0\n"


def read(tmp_path, text):
    path = tmp_path / "images.csv"
    path.write_text(text)
    return sheets.read_sheet(path, sheets.IMAGE_COLUMNS, sheets.IMAGE_CHOICES)


def test_a_sheet_is_read_with_paths_from_its_own_folder(tmp_path):
    rows = read(tmp_path, "\ufeff" + SHEET)
    assert [r["path"] for r in rows] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert rows[1]["licence"] == "CC0"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("category", "catgory", "unknown column 'catgory'; did you mean 'category'"),
        (",category", "", "column 'category' is missing"),
        ("ai,elf", "al,elf", "row 2, column source: 'al' is not one of real, ai, synthetic"),
        ("b,b.png", "a,b.png", "row 3, column image_id: 'a' is in row 2 too"),
        ("b,b.png", ",b.png", "row 3, column image_id: empty"),
        ("b,b.png", "b__c,b.png", "row 3, column image_id: 'b__c' may hold"),
        ("b,b.png", "../b,b.png", "row 3, column image_id"),
        ("b,b.png", "-b,b.png", "row 3, column image_id"),
    ],
)
def test_a_mistake_in_a_sheet_is_named_by_row_and_column(tmp_path, old, new, sentence):
    text = SHEET.replace(old, new, 1)
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, text)


def test_a_missing_and_an_empty_sheet_are_sentences(tmp_path):
    with pytest.raises(UserError, match="no such sheet"):
        sheets.read_sheet(tmp_path / "x.csv", sheets.IMAGE_COLUMNS, {})
    with pytest.raises(UserError, match="no rows"):
        read(tmp_path, SHEET.splitlines()[0] + "\n")


def test_require_gpu_is_no_extractor():
    config = complete_config(demo(), SCHEMA)
    assert config["require_gpu"] == {"features": False, "regression": False}
    features = {"require_gpu": True, "clip": {"weights": "random"}}
    config = complete_config(demo(features=features, regression={"require_gpu": True}), SCHEMA)
    assert list(config["features"]) == ["clip"]
    assert config["require_gpu"] == {"features": True, "regression": True}
    with pytest.raises(UserError, match="features.require_gpu: 'perhaps' is not of type boolean"):
        complete_config(demo(features={"require_gpu": "perhaps"}), SCHEMA)
