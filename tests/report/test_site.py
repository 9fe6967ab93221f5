"""What the site's files hold, against the tables; how it looks is tested in ``browser``."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_dataset import DIMENSIONS, EVIL, make

from sfqa import store, tables
from sfqa.cli import main
from sfqa.correlation.fits import fit_mapping
from sfqa.errors import UserError
from sfqa.identity import sha256_file
from sfqa.report import provenance, urls
from sfqa.report.site import (
    ASSETS,
    build_site,
    draw_samples,
    encode_script,
    read_initial_view,
    select_samples,
    write_crate,
)
from sfqa.report.site_data import DatasetTables, InitialView, _find_mapping, collect_parts
from sfqa.thumbnails import read_thumbnail

OPENING = InitialView("random", DIMENSIONS, ("random", "constant", "Sharpness"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("site") / "results" / "made", metrics=5, protocols=2)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with little to compute, for what is built many times."""
    folder = tmp_path_factory.mktemp("little") / "results" / "made"
    return make(folder, metrics=3, protocols=1)


@pytest.fixture(scope="module")
def site(dataset: Path) -> Path:
    build_site(dataset, dataset / "report" / "site", OPENING)
    return dataset / "report" / "site"


def part(site: Path, name: str) -> Any:
    text = (site / "data" / f"{name}.js").read_text("ascii")
    found = re.fullmatch(r'SFQA\.part\("([^"]+)",(.*)\);\n', text, re.S)
    assert found
    assert found[1] == name
    return json.loads(found[2])


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def decoded(column: dict[str, Any]) -> list[str | None]:
    return [None if code < 0 else column["values"][code] for code in column["codes"]]


def test_samples_are_those_of_the_tables(dataset: Path, site: Path) -> None:
    made = part(site, "samples")
    table = store.read(tables.SAMPLES, dataset / "samples.parquet").sort_values("sample_id")
    assert made["id"] == list(table["sample_id"])
    for label in ("method", "image_category", "style", "split"):
        assert decoded(made["labels"][label]) == list(table[label])
    assert EVIL in made["labels"]["image_category"]["values"]
    assert any("<!--" in name for name in made["id"])
    mos = store.read(tables.MOS, dataset / "ratings/mos.parquet")
    for dimension in DIMENSIONS:
        own = mos[mos["dimension"] == dimension].set_index("sample_id").loc[made["id"]]
        for name, column in (
            ("mos", "mos"),
            ("low", "ci95_low"),
            ("high", "ci95_high"),
            ("n", "n"),
        ):
            assert made["mos"][dimension][name] == own[column].tolist()
    bad = set(store.read(tables.REJECTS, dataset / "rejects.parquet")["item"])
    assert bad
    assert {
        i for i, s in zip(made["id"], decoded(made["status"]), strict=True) if s == "flawed"
    } == bad


def test_predictions_are_means_over_trials_and_mapped_to_mos(dataset: Path, site: Path) -> None:
    ids, protocols = part(site, "samples")["id"], part(site, "meta")["protocols"]
    assert protocols[0] == "random"
    made = part(site, f"predictions-{protocols.index('disjoint')}")
    mos = store.read(tables.MOS, dataset / "ratings/mos.parquet")
    for metric, sign in (("Sharpness", 1), ("LSE-D", -1)):
        frame = store.read(tables.PREDICTIONS, dataset / f"regression/{metric}/predictions.parquet")
        dimension = DIMENSIONS[1]
        own = frame.query("protocol == 'disjoint' and dimension == @dimension and part == 'test'")
        expected = own.groupby("sample_id")["prediction"].mean().reindex(ids)
        column = made[metric][dimension]
        np.testing.assert_allclose(np.array(column["raw"], float), expected, rtol=1e-5)
        # One sample is only trained on: it has no score.
        assert column["raw"].count(None) == 1
        goal = mos[mos["dimension"] == dimension].set_index("sample_id")["mos"].reindex(ids)
        known = expected.notna()
        x, y = sign * expected[known].to_numpy(), goal[known].to_numpy()
        np.testing.assert_allclose(
            np.array(column["mapped"], float)[known], fit_mapping(x, y)(x), rtol=1e-5
        )
    constant = made["constant"][DIMENSIONS[0]]
    assert "mapped" not in constant
    assert constant["reason"].startswith("constant_scores")


def test_correlations_keep_every_digit(dataset: Path, site: Path) -> None:
    meta = part(site, "meta")
    table = store.read(tables.CORRELATION, dataset / "correlation/correlation.parquet")
    assert meta["correlation"]["metric"] == table["metric"].tolist()
    for name in ("srcc", "plcc", "krcc", "rmse"):
        assert meta["correlation"][name] == [None if pd.isna(v) else v for v in table[name]]
    assert [m["name"] for m in meta["metrics"]][:3] == ["random", "constant", "Sharpness"]
    assert meta["random"] == ["LSE-D"]
    assert meta["synthetic_mos"] is True


def test_every_rating_stands_with_its_sample(dataset: Path, site: Path) -> None:
    scores = store.read(tables.SCORES, dataset / "ratings/scores.parquet")

    def read(ids: list[str], made: dict[str, Any]) -> set[tuple[str, str, str, float]]:
        return {
            (dimension, ids[i], made["raters"][own["rater"][k]], own["score"][k])
            for dimension, own in made["dimensions"].items()
            for i in range(len(ids))
            for k in range(own["start"][i], own["start"][i + 1])
        }

    ids, made = part(site, "samples")["id"], part(site, "scores")
    wanted = {(r.dimension, r.sample_id, r.rater, r.score) for r in scores.itertuples()}
    assert read(ids, made) == wanted
    assert [made["raters"][n] for n in made["dimensions"][DIMENSIONS[0]]["rejected"]] == ["r04"]
    keep = set(ids[3:9:2])
    names = ("meta", "samples", "scores", "features", "hashes", "rejects")
    fewer = select_samples({name: part(site, name) for name in names}, keep)
    # A site to hand on names no rater; r00 is the first.
    assert read(fewer["samples"]["id"], fewer["scores"]) == {
        (d, name, f"rater {int(rater[1:]) + 1}", score)
        for d, name, rater, score in wanted
        if name in keep
    }
    assert set(fewer["rejects"]["item"]) == set(part(site, "rejects")["item"]) & keep


def test_features_are_the_scalars_with_their_units(dataset: Path, site: Path) -> None:
    ids, found = part(site, "samples")["id"], part(site, "features")
    assert [one["name"] for one in found] == ["sharpness", "feature01", "feature02"]
    assert {one["unit"] for one in found} == {"grey level"}
    whole = pd.concat(
        pd.read_parquet(p) for p in sorted((dataset / "features").glob("*/*/*.parquet"))
    )
    expected = whole.set_index("sample_id").loc[ids, "feature01"]
    np.testing.assert_allclose(found[1]["values"], expected, rtol=1e-5)


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_data_is_never_markup(text: str, number: float) -> None:
    made = encode_script(text, {text: [text, number]})
    assert made.isascii()
    assert "<" not in made
    assert "\n" not in made[:-1]
    decode = json.JSONDecoder().raw_decode
    name, end = decode(made, len("SFQA.part("))
    value, last = decode(made, end + 1)
    assert (name, value, made[last:]) == (text, {text: [text, number]}, ");\n")


def test_nothing_but_data_files_holds_data(site: Path) -> None:
    told = files_of(site)
    for name, content in told.items():
        if name.startswith("data/"):
            assert b"<" not in content
        elif name != "provenance.json":
            assert b"window.evil" not in content
    assert b"window.evil" in told["data/samples.js"]


def test_no_address_outside(site: Path) -> None:
    for path in [*ASSETS.iterdir(), site / "index.html"]:
        text = path.read_text("utf-8")
        assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(
            r"\b(fetch|XMLHttpRequest|import)\s*\(|innerHTML|document\.write|eval\(", text
        )
    for asset in ASSETS.glob("*.js"):
        # Each is put into one page, too: a script must not end itself.
        assert not re.search(r"</script|<!--", asset.read_text("utf-8"), re.I)
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 300_000


def test_videos_are_found_from_the_site(dataset: Path, site: Path) -> None:
    addresses = part(site, "samples")["video"]
    there = [a for a in addresses if (site / unquote(a)).is_file()]
    assert len(there) == 4
    assert all(a.startswith("../../conform/") for a in addresses)
    assert not any(set(a) & set('#?%"<> ') - {"%"} for a in addresses)


@given(
    st.text(
        st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1
    ).filter(lambda s: s not in (".", ".."))
)
def test_a_link_is_the_file_whatever_its_name(name: str) -> None:
    address = urls.relative_url(
        Path("/data/results/d/conform") / name, Path("/data/results/d/report/site")
    )
    assert address.isascii()
    assert unquote(address) == f"../../conform/{name}"
    assert not re.search(r'[#?"<>\s\\:]', address)


def test_a_moved_dataset_still_finds_its_videos(tmp_path: Path) -> None:
    folder = make(tmp_path / "a" / "results" / "made", methods=2, pairs=2, metrics=3, protocols=1)
    shutil.move(folder, tmp_path / "made")
    build_site(tmp_path / "made", tmp_path / "made" / "report" / "site")
    first = part(tmp_path / "made" / "report" / "site", "samples")["video"]
    assert sum((tmp_path / "made" / "report" / "site" / unquote(a)).is_file() for a in first) == 4


def test_same_tables_same_bytes(little: Path, tmp_path: Path) -> None:
    for name in ("folder", "small.zip", "small.html"):
        outs = [tmp_path / side / name for side in ("one", "two")]
        for out in outs:
            build_site(little, out, OPENING, sample=None if name == "folder" else 5)
        if name == "folder":
            # Both lie equally deep: links are the same.
            assert files_of(outs[0]) == files_of(outs[1])
        else:
            assert outs[0].read_bytes() == outs[1].read_bytes()


def test_only_the_given_files_are_used(dataset: Path, tmp_path: Path) -> None:
    files = [p for p in provenance.list_report_tables(dataset) if "LSE-D" not in p.as_posix()]
    build_site(dataset, tmp_path / "site", files=files)
    assert "LSE-D" not in part(tmp_path / "site", "predictions-0")
    assert "regression/LSE-D/predictions.parquet" not in {
        f["path"] for f in part(tmp_path / "site", "files")
    }


def test_a_small_site_brings_whole_pairs_and_their_videos(little: Path, tmp_path: Path) -> None:
    shown = build_site(little, tmp_path / "small", sample=8)
    made = part(tmp_path / "small", "samples")
    assert made["id"] == shown
    assert len(shown) == 8
    counts = pd.Series(decoded(made["pair"])).value_counts()
    assert counts.tolist() == [4, 4]
    everything = build_site(little, tmp_path / "all", sample=999)
    assert len(everything) == 24
    brought = [a for a in part(tmp_path / "all", "samples")["video"] if a]
    assert len(brought) == 4
    originals = {sha256_file(p) for p in little.glob("conform/*/videos/*.mp4")}
    assert {sha256_file(tmp_path / "all" / a) for a in brought} == originals
    assert part(tmp_path / "all", "meta")["videos"] == 4
    # Labels of samples that were left out are not told.
    categories = made["labels"]["image_category"]
    assert sorted(set(categories["codes"])) == list(range(len(categories["values"])))


def test_a_small_site_prefers_what_metrics_were_tested_on(little: Path) -> None:
    source = DatasetTables(little, tuple(provenance.list_report_tables(little)))
    samples = store.read(tables.SAMPLES, little / "samples.parquet")
    for pair, own in samples.groupby("pair_id"):
        drawn = draw_samples(source, 4, "seed", {own["sample_id"].iloc[0]})
        assert drawn == sorted(own["sample_id"]), pair
    assert draw_samples(source, 9, "seed", set()) == draw_samples(source, 9, "seed", set())
    assert draw_samples(source, 9, "a", set()) != draw_samples(source, 9, "b", set())


def test_a_zip_is_the_folder(little: Path, tmp_path: Path) -> None:
    build_site(little, tmp_path / "small", sample=8)
    build_site(little, tmp_path / "small.zip", sample=8)
    with zipfile.ZipFile(tmp_path / "small.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    assert packed == {
        f"small/{name}": content for name, content in files_of(tmp_path / "small").items()
    }


def test_one_page_needs_no_other_file(dataset: Path, site: Path, tmp_path: Path) -> None:
    build_site(dataset, tmp_path / "one.html", sample=24)
    page = (tmp_path / "one.html").read_text("utf-8")
    assert not re.search(r'<(script|link)[^>]+(src|href)="(?!data:)', page)
    assert page.count("data:video/mp4;base64,") == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.html"]
    # As many script elements begin as end: nothing in the data ends one.
    scripts = len(list(ASSETS.glob("*.js"))) + len(list((site / "data").iterdir()))
    assert page.count("<script>") == page.count("</script>") == scripts


def test_files_and_identity(dataset: Path, site: Path, tmp_path: Path) -> None:
    files = {f["path"]: f for f in part(site, "files")}
    for name, record in files.items():
        assert record["sha256"] == sha256_file(dataset / name)
        assert record["rows"] == pq.read_metadata(dataset / name).num_rows
    assert files["features/signal/method00/0.parquet"]["about"]["version"] == 1
    told = json.loads((site / "provenance.json").read_text("utf-8"))
    assert (
        told["identity"]
        == part(site, "meta")["identity"]
        == provenance.compute_identity(files.values())
    )
    copy = tmp_path / "elsewhere" / "made"
    shutil.copytree(dataset, copy)
    assert (
        provenance.compute_identity(
            provenance.describe_tables(copy, provenance.list_report_tables(copy))
        )
        == told["identity"]
    )
    mos = store.read(tables.MOS, copy / "ratings/mos.parquet")
    store.write(tables.MOS, mos.assign(mos=mos["mos"] + 1), copy / "ratings/mos.parquet")
    assert (
        provenance.compute_identity(
            provenance.describe_tables(copy, provenance.list_report_tables(copy))
        )
        != told["identity"]
    )


def test_the_crate_is_an_ro_crate(
    dataset: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    write_crate(dataset, dataset / "ro-crate-metadata.json", site)
    crate = json.loads((dataset / "ro-crate-metadata.json").read_text("utf-8"))
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    entities = {e["@id"]: e for e in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    assert root["@type"] == "Dataset"
    assert date.fromisoformat(root["datePublished"]) == date(1970, 1, 2)
    assert root["name"]
    assert root["description"]
    assert entities[root["license"]["@id"]]["name"]
    parts = [entities[p["@id"]] for p in root["hasPart"]]
    files = [p for p in parts if p["@type"] == "File"]
    assert {p["name"] for p in files} == {
        p.relative_to(dataset).as_posix() for p in provenance.list_report_tables(dataset)
    }
    for entity in files:
        path = dataset / unquote(entity["@id"])
        assert entity["sha256"] == sha256_file(path)
        assert int(entity["contentSize"]) == path.stat().st_size
    assert entities["report/site/"]["@type"] == ["Dataset"]

    def references(value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            for one in value.values():
                yield from references(one)
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    for entity in crate["@graph"]:
        assert entity["@type"]
        for reference in references({k: v for k, v in entity.items() if k != "@id"}):
            assert reference in entities or reference.startswith("https://w3id.org/")
    run = entities["#run"]
    assert {e["@id"] for e in files} == {r["@id"] for r in run["result"]}
    names = {entities[i["@id"]]["name"] for i in run["instrument"]}
    assert {"SFQA", "extractor signal", "metric LSE-D"} <= names


def test_the_day_of_a_crate_without_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "t").write_text("")
    os.utime(tmp_path / "t", (1_000_000_000, 1_000_000_000))
    assert provenance.choose_date({"committed": None}, [tmp_path / "t"]) == "2001-09-09"
    assert provenance.choose_date({"committed": "2026-11-21"}, [tmp_path / "t"]) == "2026-11-21"
    assert provenance.describe_code(tmp_path)["commit"] is None


def test_mistakes_are_sentences(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no samples\.parquet with rows"):
        build_site(tmp_path / "nothing", tmp_path / "site")
    with pytest.raises(UserError, match="give the number of samples with --sample"):
        build_site(dataset, tmp_path / "site.zip")
    with pytest.raises(UserError, match="--sample 0"):
        build_site(dataset, tmp_path / "site", sample=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UserError, match="exists and is not a site"):
        build_site(dataset, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


def test_an_older_site_is_replaced(little: Path, tmp_path: Path) -> None:
    build_site(little, tmp_path / "site", OPENING)
    (tmp_path / "site" / "old.js").write_text("")
    build_site(little, tmp_path / "site", OPENING)
    assert not (tmp_path / "site" / "old.js").exists()


def test_the_command_opens_as_the_workflow_does(
    dataset: Path, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_initial_view(dataset) == OPENING
    assert main(["site", str(dataset), "--sample", "4", "--out", str(tmp_path / "small")]) == 0
    assert "4 samples in" in capsys.readouterr().err
    assert part(tmp_path / "small", "meta")["protocols"][0] == "random"
    words = [
        "site",
        str(dataset),
        "--sample",
        "4",
        "--protocol",
        "disjoint",
        "--out",
        str(tmp_path / "b"),
    ]
    assert main(words) == 0
    assert part(tmp_path / "b", "meta")["protocols"][0] == "disjoint"
    assert main(["site", str(tmp_path / "none"), "--out", str(tmp_path / "c")]) == 2
    assert main([*words[:5], "disjunct", "--out", str(tmp_path / "d")]) == 2
    assert "did you mean 'disjoint'" in capsys.readouterr().err


def test_a_dataset_without_ratings_has_a_site(tmp_path: Path) -> None:
    folder = make(tmp_path / "results" / "made", methods=2, pairs=2, metrics=3, protocols=1)
    for name in ("ratings", "regression", "correlation", "conform"):
        shutil.rmtree(folder / name)
    (folder / "rejects.parquet").unlink()
    build_site(folder, tmp_path / "site")
    meta = part(tmp_path / "site", "meta")
    assert (meta["metrics"], meta["dimensions"], meta["count"], meta["videos"]) == ([], [], 4, 0)


def test_parts_are_plain_json(dataset: Path) -> None:
    source = DatasetTables(dataset, tuple(provenance.list_report_tables(dataset)))
    parts = collect_parts(source, InitialView(), lambda path: path)
    assert json.loads(json.dumps(parts, allow_nan=False)) == parts


def test_a_thumbnail_keeps_its_shape(dataset: Path, tmp_path: Path) -> None:
    path = next((dataset / "conform").glob("*/videos/*.mp4"))
    picture = read_thumbnail(path, 40)
    assert picture is not None
    assert picture.shape == (40, 40, 3)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert read_thumbnail(tmp_path / "broken.mp4") is None


@pytest.mark.parametrize("word", ["logistic-5", "cubic", "z-rescaling", "none"])
def test_the_site_maps_scores_as_the_table_does(word: str) -> None:
    rows = [{"mapping": word, "plcc": 0.5}] * 3
    rows += [{"mapping": "linear (logistic-5 did not converge)", "plcc": 0.5}]
    rows += [{"mapping": "none", "plcc": None}] * 5  # a metric without a defined statistic
    assert _find_mapping(pd.DataFrame(rows)) == word


def test_the_site_of_no_correlations_has_the_default_mapping() -> None:
    assert _find_mapping(pd.DataFrame({"mapping": [], "plcc": []})) == "logistic4"
