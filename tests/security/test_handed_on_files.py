"""What leaves the machine: a site, a published dataset and a study hand on media of the dataset only."""

from __future__ import annotations

import logging
import shutil
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from screen_study import Page, make, rows_of, tokens
from site_dataset import make as make_dataset
from starlette.testclient import TestClient

from sfqa.errors import UserError
from sfqa.publishing.content import Terms, locate_file
from sfqa.ratings.screen.app import create_app
from sfqa.report.site import _CopiedMedia, build_site
from sfqa.report.site_columns import encode_column
from sfqa.shareable_files import explain_unshareable, list_dataset_folders

SECRET = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A dataset with a few real videos, in a folder like a home folder with other files."""
    home = tmp_path_factory.mktemp("home")
    return make_dataset(home / "work" / "results" / "drawn", methods=2, pairs=2, videos=2)


def set_paths(results: Path, targets: list[str]) -> None:
    """Let every table of the dataset name other files, as results from a stranger may."""
    path = results / "conform" / "videos.parquet"
    files = [path] if path.is_file() else []
    for file in [results / "samples.parquet", *files, *results.glob("conform/*/*.parquet")]:
        table = pq.read_table(file)
        rows = table.to_pylist()
        for number, row in enumerate(rows):
            for name in ("path", "viewing_path", "source_path", "image_path"):
                if name in row:
                    row[name] = targets[number % len(targets)]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)


def list_media(site: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(site) as archive:
        return {n: archive.read(n) for n in archive.namelist() if "/media/" in n}


@pytest.mark.thorough
def test_a_site_has_no_other_file(results, tmp_path, caplog):
    """A key, a video outside, a link to it, and a path that leaves the dataset by dots."""
    copy = tmp_path / "work" / "results" / "drawn"
    shutil.copytree(results, copy)
    for name in ("id_rsa", "private.mp4"):
        (tmp_path / name).write_text(SECRET)
    (copy / "conform" / "x.mp4").symlink_to(tmp_path / "private.mp4")
    dots = "results/drawn/../../../private.mp4"
    set_paths(
        copy,
        [
            str(tmp_path / "id_rsa"),
            str(tmp_path / "private.mp4"),
            "results/drawn/conform/x.mp4",
            dots,
        ],
    )
    with caplog.at_level(logging.WARNING, "sfqa"):
        build_site(copy, tmp_path / "x.zip", sample=4)
    assert list_media(tmp_path / "x.zip") == {}
    assert "4 files are not handed on, for example" in caplog.text
    assert "it lies outside of the folders of the dataset; if you know" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "sfqa"):
        build_site(copy, tmp_path / "y.zip", sample=4, media_folders=[tmp_path])
    names = [name for name in list_media(tmp_path / "y.zip") if name.endswith(".mp4")]
    assert len(names) == 3
    assert "1 file is not handed on" in caplog.text
    assert "does not end as that of a video" in caplog.text


def test_a_site_copies_no_other_file(tmp_path, caplog):
    """A key, a video outside, a link to it, and a path that leaves the dataset by dots."""
    dataset = tmp_path / "work" / "results" / "drawn"
    dataset.mkdir(parents=True)
    for name in ("id_rsa", "private.mp4", "work/results/drawn/own.mp4", "work/key.mp4"):
        (tmp_path / name).write_text(SECRET)
    (dataset / "x.mp4").symlink_to(tmp_path / "private.mp4")
    (dataset / "y.mp4").symlink_to(tmp_path / "id_rsa")
    paths = [str(tmp_path / "id_rsa"), str(tmp_path / "private.mp4"), "results/drawn/x.mp4",
             "results/drawn/y.mp4", "results/drawn/../../../private.mp4", "results/drawn/own.mp4",
             "key.mp4"]  # fmt: skip
    for folders, copied in (([], {5, 6}), ([tmp_path], {1, 2, 4, 5, 6})):
        site = tmp_path / f"site{len(copied)}"
        site.mkdir()
        media = _CopiedMedia(dataset, site, [*list_dataset_folders(dataset), *folders])
        parts = {
            "samples": {
                "video": [media.make_url(path) for path in paths], "image": encode_column([]),
            },
            "meta": {},
        }  # fmt: skip
        caplog.clear()
        with caplog.at_level(logging.WARNING, "sfqa"):
            media.copy_files(parts, inline=False)
        urls = parts["samples"]["video"]
        assert {n for n, url in enumerate(urls) if url is not None} == copied
        assert f"{len(paths) - len(copied)} files are not handed on, for example" in caplog.text
        assert ("allow their folder by --media" in caplog.text) == (not folders)


def test_a_published_dataset_has_no_other_file(tmp_path, monkeypatch):
    results = tmp_path / "home" / "work" / "results" / "drawn"
    results.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    outside = results.parents[2] / "private.mp4"
    outside.write_text(SECRET)
    (results / "key.mp4").symlink_to("/etc/passwd")
    for path in ("/etc/passwd", str(outside), "../private.mp4", "results/drawn/key.mp4"):
        with pytest.raises(UserError, match="1 file is not handed on"):
            locate_file(path, results, Terms("CC0-1.0"))
    terms = Terms("CC0-1.0", media_folders=(outside.parent,))
    assert locate_file(str(outside), results, terms) == outside


def test_home_root_and_shared_folders_are_no_folder_of_a_dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    study = tmp_path / "study"
    assert list_dataset_folders(study) == [study]
    assert list_dataset_folders(Path("/study")) == [Path("/study")]
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    assert list_dataset_folders(tmp_path / "shared" / "study") == [tmp_path / "shared" / "study"]
    inner = tmp_path / "work" / "results" / "demo" / "ratings" / "study"
    assert list_dataset_folders(inner) == [inner, tmp_path / "work"]
    assert explain_unshareable(tmp_path / "\0.mp4") == "it does not exist"


def set_media(folder: Path, video: str) -> None:
    path = folder / "media.parquet"
    rows = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist([row | {"video": video} for row in rows]), path)


@pytest.mark.parametrize("kind", ["file", "link", "video outside"])
def test_raters_get_no_other_file(tmp_path, monkeypatch, kind):
    folder = make(tmp_path / "a" / "study", rows_of("r001", "T", 0.1))
    outside = tmp_path / "b" / "private.mp4"
    outside.parent.mkdir()
    outside.write_text(SECRET)
    video = {"file": "/etc/passwd", "link": "media/x.mp4", "video outside": str(outside)}[kind]
    (folder / "media" / "x.mp4").symlink_to("/etc/passwd")
    set_media(folder, video)
    with pytest.raises(UserError, match="1 file is not handed on"):
        create_app(folder)
    if kind == "video outside":
        create_app(folder, media_folders=[outside.parent])
    set_media(folder, "../beside.mp4")  # a study beside its videos
    (folder.parent / "beside.mp4").write_text("x")
    create_app(folder)


def test_a_video_that_becomes_a_link_is_not_served(tmp_path):
    folder = make(tmp_path / "study", rows_of("r001", "T", 0.1))
    links = tokens(folder)
    with TestClient(create_app(folder)) as client:
        page = Page(client, links["r001"])
        identity = page.begin()["presentation"]["id"]
        video = folder / "media" / "s1_1.mp4"
        video.unlink()
        video.symlink_to("/etc/passwd")
        response = page.watch(identity)
        assert (response.status_code, response.json()["error"]) == (503, "no_file")
