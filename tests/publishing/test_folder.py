"""What a published folder holds, what it leaves out, and that it tells nothing of raters and machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from finished_dataset import RATERS, make_dataset
from sfqa.cli import main
from sfqa.errors import UserError
from sfqa.publishing.folder import list_files

LICENCE = ["--licence", "CC-BY-4.0"]


def publish(*options: str, results: str = "results/mine") -> Path:
    assert main(["publish", results, "--out", "shared", *LICENCE, *options]) == 0
    return Path("shared")


def read_front_matter(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_everything_is_in_the_folder_and_checksums_hold(dataset: Path) -> None:
    folder = publish("--title", "My set", "--creator", "A. Author")
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=False
    )
    assert done.returncode == 0
    listed = [line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert sorted(listed) == [name for name in list_files(folder) if name != "SHA256SUMS"]
    assert (folder / "videos/late/face1__song1__late.mp4").read_text() == "face1__song1__late"
    assert (folder / "images/face2.png").read_text() == "face2"
    samples = pd.read_csv(folder / "tables/samples.csv").set_index("sample_id")
    assert samples["video"].map(lambda name: (folder / name).is_file()).all()
    mos = pd.read_csv(folder / "tables/mos.csv").set_index("sample_id")
    assert samples["quality_mos"].equals(mos["mos"].rename("quality_mos").reindex(samples.index))
    assert set(pd.read_csv(folder / "tables/splits.csv")["part"]) == {"train", "test"}
    licences = pd.read_csv(folder / "licences.csv").set_index("name")
    assert licences.loc["song1", "licence"] == "CC-BY-SA 4.0"
    assert licences["shared"].eq("yes").all()
    front = read_front_matter(folder)
    assert (front["pretty_name"], front["license"], front["language"]) == (
        "My set",
        "cc-by-4.0",
        ["en"],
    )
    assert [config["config_name"] for config in front["configs"]][:2] == ["samples", "mos"]


def test_raters_are_neutral_ids_and_no_path_of_the_machine_is_told(dataset: Path) -> None:
    folder = publish()
    for name in list_files(folder):
        data = (folder / name).read_bytes()
        for word in (
            *(part for rater in RATERS for part in rater.split()),
            "/home/",
            str(Path.cwd()),
        ):
            assert word.encode() not in data, (name, word)
    scores = pd.read_parquet(folder / "data/scores.parquet")
    assert sorted(set(scores["rater"])) == ["r1", "r2", "r3", "r4"]
    original = pd.read_parquet(dataset / "ratings/scores.parquet")
    assert sorted(scores["score"]) == sorted(original["score"])


def test_the_ids_say_nothing_of_the_order_of_the_names(dataset: Path, tmp_path: Path) -> None:
    first = pd.read_parquet(publish() / "data/scores.parquet")
    path = dataset / "ratings/scores.parquet"
    renamed = pd.read_parquet(path)
    names = dict(zip(RATERS, sorted(RATERS, reverse=True), strict=True))
    from sfqa import store, tables

    store.write(tables.SCORES, renamed.assign(rater=renamed["rater"].map(names)), path)
    Path("shared").rename("first")
    assert pd.read_parquet(publish() / "data/scores.parquet").equals(first)


def test_materials_that_may_not_be_shared_are_left_out_with_their_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_dataset(
        Path("results/mine"), {"face1": "CC0", "face2": None, "song1": "our terms", "song2": "CC0"}
    )
    folder = publish()
    assert not list((folder).glob("videos/*/*"))
    assert [path.name for path in folder.glob("images/*")] == ["face1.png"]
    assert [path.name for path in folder.glob("clips/*")] == ["song2.wav"]
    left_out = pd.read_csv(folder / "left_out.csv").set_index("name")["reason"]
    assert left_out["face2"] == "no licence is stated"
    assert "'our terms' is not known" in left_out["song1"]
    assert left_out["face1__song1__late"].startswith("it shows the clip 'song1'")
    config = yaml.safe_load((folder / "sfqa.yaml").read_text())
    assert (config["missing"], config["max_failed"]) == ("skip", 1.0)
    samples = pd.read_csv(folder / "tables/samples.csv")
    assert "video" not in samples
    assert samples["left_out"].notna().all()
    assert samples["quality_mos"].notna().all()
    told = capsys.readouterr().err
    assert "left out: 1 image: no licence is stated" in told
    assert "left_out.csv" in told
    Path("shared").rename("first")
    folder = publish("--allow", "our terms")
    assert len(list(folder.glob("videos/*/*"))) == 2


def test_videos_may_be_links(dataset: Path) -> None:
    folder = publish("--video-url", "https://example.org/set/")
    assert not (folder / "videos").exists()
    samples = pd.read_csv(folder / "tables/samples.csv")
    assert samples["url"][0] == "https://example.org/set/" + samples["video"][0]


def test_imported_videos_need_a_licence(dataset: Path, tmp_path: Path) -> None:
    make_dataset(Path("results/ready"), {}, mode="import_videos", **{"import": {"sheet": "v.csv"}})
    folder = publish(results="results/ready")
    assert not (folder / "videos").exists()
    assert "--video-licence" in (folder / "left_out.csv").read_text()
    Path("shared").rename("first")
    # The images and clips of the drawn dataset have no licences either.
    assert (
        "it shows the image"
        in (publish("--video-licence", "MIT", results="results/ready") / "left_out.csv").read_text()
    )


def test_the_configuration_has_paths_in_the_folder_only(dataset: Path) -> None:
    folder = publish()
    config = yaml.safe_load((folder / "sfqa.yaml").read_text())
    assert config["mode"] == "import_videos"
    assert config["import"] == {"sheet": "videos.csv"}
    assert config["ratings"]["path"] == "data/scores.parquet"
    assert config["ratings"]["scale"] == "mean"


def test_an_imported_folder_is_checked(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = publish()
    with pytest.raises(UserError, match=r"results/mine: there are results of this name"):
        from sfqa.publishing.importing import place_config

        place_config(folder, None)
    assert main(["import", "shared", "--dataset", "again"]) == 0
    config = yaml.safe_load(Path("again.yaml").read_text())
    assert config["dataset"] == "again"
    assert config["import"]["sheet"] == "shared/videos.csv"
    assert config["ratings"]["path"] == "shared/data/scores.parquet"
    (folder / "tables/mos.csv").write_text("changed")
    (folder / "videos/late/face1__song1__late.mp4").unlink()
    assert main(["import", "shared", "--dataset", "third"]) == 1
    printed = capsys.readouterr().out
    assert "1 are not as they were published; fetch them again: tables/mos.csv" in printed
    assert "1 are missing; fetch them again: videos/late/face1__song1__late.mp4" in printed


def test_mistakes_are_sentences(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish()
    assert main(["publish", "results/mine", "--out", "shared", *LICENCE]) == 2
    assert "shared: it is there already" in capsys.readouterr().err
    assert main(["publish", "results/none", "--out", "b", *LICENCE]) == 2
    assert main(["publish", "results/mine", "--out", "b"]) == 2
    assert "--licence" in capsys.readouterr().err
    (dataset / "generation/late/videos/face1__song1__late.mp4").unlink()
    assert main(["publish", "results/mine", "--out", "b", *LICENCE]) == 2
    assert "there is no such file, though the tables" in capsys.readouterr().err
    assert not list(Path().glob("*b.partial"))


def test_a_path_of_this_machine_in_a_table_stops_it(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sfqa import store, tables

    path = dataset / tables.SAMPLES.path
    samples = store.read(tables.SAMPLES, path)
    store.write(tables.SAMPLES, samples.assign(prompt=f"{Path.cwd()}/secret"), path)
    assert main(["publish", "results/mine", "--out", "b", *LICENCE]) == 2
    assert "of this machine" in capsys.readouterr().err


def test_croissant_names_every_table_with_its_digest(dataset: Path) -> None:
    Path("cite.bib").write_text("@misc{mine, title={Mine}}")
    folder = publish("--cite", "cite.bib")
    metadata = json.loads((folder / "croissant.json").read_text())
    assert metadata["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert metadata["datePublished"] == "2026-02-03"
    assert metadata["citeAs"] == "@misc{mine, title={Mine}}"
    sums = dict(
        reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    for file in (f for f in metadata["distribution"] if f["@type"] == "cr:FileObject"):
        assert sums[file["contentUrl"]] == file["sha256"]
    fields = {f["@id"] for records in metadata["recordSet"] for f in records["field"]}
    assert {"samples/video", "mos/ci95_low", "scores/rater", "splits/part"} <= fields


def test_it_needs_no_packages_for_videos(dataset: Path) -> None:
    """As `pip install .` without extras gives it."""
    program = (
        "import sys\n"
        "hidden = dict.fromkeys(('av', 'decord', 'cv2', 'ffmpeg', 'torch', 'snakemake', 'sklearn'))\n"
        "sys.modules.update(hidden)\n"
        "from sfqa.cli import main\n"
        "options = ['--out', 'shared', '--licence', 'MIT']\n"
        "sys.exit(main(['publish', 'results/mine', *options]) or main(['import', 'shared', '--dataset', 'b']))"
    )
    scripts = Path(__file__).parents[2] / "workflow/scripts"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(scripts)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
