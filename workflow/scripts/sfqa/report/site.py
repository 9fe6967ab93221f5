"""The site of a dataset: works offline from a folder, a zip file or a single HTML file."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from markupsafe import Markup

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.media_files import PICTURE_SUFFIXES, VIDEO_SUFFIXES, has_suffix
from sfqa.private_files import apply_umask
from sfqa.report import provenance, urls
from sfqa.report.metric_cards import Registries
from sfqa.report.site_columns import Parts, encode_column
from sfqa.report.site_data import DatasetTables, InitialView, collect_parts
from sfqa.shareable_files import (
    describe_unshareable,
    explain_unshareable,
    list_dataset_folders,
)
from sfqa.templates import render_template
from sfqa.thumbnails import locate_file
from sfqa.untrusted.documents import read_json

VERSION = 4

log = logging.getLogger("sfqa")

#: Style, scripts and the page's template. No library is used.
ASSETS = Path(__file__).with_name("site")
#: Parts that the first view needs. The page loads the others on demand.
FIRST_PARTS = ("meta", "samples", "predictions-0")

_IMAGE_PX = 320


def build_site(
    folder: Path,
    out: Path,
    initial_view: InitialView | None = None,
    files: Iterable[Path] | None = None,
    sample: int | None = None,
    registries: Registries | None = None,
    other: Path | None = None,
    media_folders: Sequence[Path] = (),
) -> list[str]:
    """Write the site of a dataset's folder to ``out`` and return the ids of its samples.

    ``out`` is a folder or, with ``sample``, a ``.zip`` or ``.html`` file. Without ``sample`` the
    site links to the videos by relative paths; with it, that many samples are drawn (whole pairs if
    possible) and their videos are copied. ``files``: the tables to use, by default all of the
    folder. ``registries`` describe the quality models, by default the project's. ``other``: the
    results folder of a second run to compare the correlations with. ``media_folders``: folders
    outside of the dataset whose videos may be copied, too. The site is written next to
    ``out`` and then renamed. Raises :class:`UserError` for a folder without samples, for an ``out``
    that exists and is not a site, and for a ``.zip`` or ``.html`` without ``sample``.
    """
    folder, out, initial_view = Path(folder), Path(out), initial_view or InitialView()
    is_file = out.suffix.lower() in (".zip", ".html")
    if is_file and not sample:
        raise UserError(
            f"--out {out}: one file cannot hold all videos; give the number of samples with "
            "--sample, or name a folder"
        )
    if sample is not None and sample < 1:
        raise UserError(f"--sample {sample}: at least 1 sample is needed")
    _check_out(out, is_file)
    table_files = provenance.list_report_tables(folder) if files is None else map(Path, files)
    source = DatasetTables(folder, tuple(sorted(table_files)))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        site = Path(name) / "site"
        site.mkdir()
        media: _CopiedMedia | _LinkedMedia
        allowed_folders = [*list_dataset_folders(folder), *media_folders]
        media = _CopiedMedia(folder, site, allowed_folders) if sample else _LinkedMedia(folder, out)
        parts = collect_parts(source, initial_view, media.make_url, registries, other)
        if sample:
            dataset = str(parts["meta"]["dataset"])
            drawn = draw_samples(source, sample, dataset, _list_tested_samples(parts))
            parts = select_samples(parts, set(drawn))
            media.copy_files(parts, inline=out.suffix.lower() == ".html")
        if out.suffix.lower() == ".html":
            page = Path(name) / "page.html"
            page.write_text(_render_page(parts, one_file=True), encoding="utf-8")
            _move_file(page, out)
            return list(parts["samples"]["id"])
        _write_folder(site, parts, initial_view)
        if is_file:
            _move_file(_write_zip(site, out.stem), out)
        else:
            if out.exists():
                shutil.rmtree(out)
            site.replace(out)
            apply_umask(out, 0o777)
    return list(parts["samples"]["id"])


def write_crate(folder: Path, out: Path, site: Path) -> dict[str, Any]:
    """Write the RO-Crate of a dataset's folder and return it; the existing site is part of it.

    Files and code are those recorded in the site's ``provenance.json``.
    """
    record = read_json(site / "provenance.json", allow_nan=True)
    files = [folder / file["path"] for file in record["files"]]
    pages = [(f"{site.relative_to(folder).as_posix()}/", "Site of the dataset, open index.html")]
    date = provenance.choose_date(record["code"], files)
    crate = provenance.build_crate(record["dataset"], record["files"], record["code"], date, pages)
    with store.replacing(out) as temporary:
        temporary.write_text(
            json.dumps(crate, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return crate


def encode_script(name: str, part: Any) -> str:
    """Return a part as a script, because a page opened from a file cannot fetch JSON.

    The data may hold any character. The script is ASCII, so the page's encoding does not matter,
    and holds no ``<``, so it cannot end its ``<script>`` element.

    >>> encode_script("meta", {"a": "</script>"})
    'SFQA.part("meta",{"a":"\\\\u003c/script>"});\\n'
    """
    texts = (json.dumps(value, separators=(",", ":"), allow_nan=False) for value in (name, part))
    return f"SFQA.part({','.join(texts)});\n".replace("<", "\\u003c")


@dataclass
class _LinkedMedia:
    """Videos and images stay where they are; the site links to them."""

    folder: Path
    out: Path

    def make_url(self, path: str | None) -> str | None:
        target = locate_file(path, self.folder)
        return None if target is None else urls.relative_url(target, self.out)

    def copy_files(self, parts: Parts, inline: bool) -> None:
        """Copy nothing."""


@dataclass
class _CopiedMedia:
    """Videos and images are copied once it is known which samples the site shows."""

    folder: Path
    site: Path
    allowed_folders: Sequence[Path]
    url_by_path: dict[str, str | None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def make_url(self, path: str | None) -> str | None:
        """Return the located path as text, which :meth:`copy_files` replaces by its URL.

        None if there is no such file.
        """
        target = locate_file(path, self.folder)
        return None if target is None else str(target)

    def copy_files(self, parts: Parts, inline: bool) -> None:
        """Copy the samples' videos and shrunken images, or with ``inline`` put them in the page."""
        samples = parts["samples"]
        samples["video"] = [self._copy_file(path, inline) for path in samples["video"]]
        images = samples["image"]
        samples["image"] = encode_column(
            images["values"][code] if code >= 0 else None for code in images["codes"]
        )
        samples["image"]["values"] = [
            self._copy_file(path, inline) for path in samples["image"]["values"]
        ]
        parts["meta"]["videos"] = sum(path is not None for path in samples["video"])
        if self.refused:
            log.warning("%s", describe_unshareable(sorted(self.refused.items()), "--media"))

    def _copy_file(self, path: str | None, inline: bool) -> str | None:
        if path is None or not Path(path).is_file():
            return None
        if reason := explain_unshareable(Path(path), self.allowed_folders):
            self.refused[path] = reason
            return None
        if path not in self.url_by_path:
            number = len(self.url_by_path)
            is_image = has_suffix(path, PICTURE_SUFFIXES - VIDEO_SUFFIXES)
            # Numbers as names: a file's own name may hold any character.
            suffix = ".jpg" if is_image else Path(path).suffix
            target = self.site / "media" / f"{number:04d}{suffix}"
            target.parent.mkdir(exist_ok=True)
            if not is_image:
                shutil.copyfile(path, target)
            elif not _write_small_image(Path(path), target):
                return None
            self.url_by_path[path] = (
                urls.encode_data_url(target) if inline else f"media/{target.name}"
            )
        return self.url_by_path[path]


def _write_small_image(path: Path, target: Path) -> bool:
    """Write a copy of at most ``_IMAGE_PX`` pixels a side; False if it cannot be decoded."""
    picture = cv2.imread(str(path))
    if picture is None:
        return False
    scale = min(1.0, _IMAGE_PX / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bool(cv2.imwrite(str(target), small, [cv2.IMWRITE_JPEG_QUALITY, 85]))


def _check_out(out: Path, is_file: bool) -> None:
    if is_file and out.is_dir():
        raise UserError(f"--out {out}: a folder with this name exists; choose another name")
    if is_file or not out.exists():
        return
    is_site = (out / "data" / "meta.js").is_file() or (out.is_dir() and not any(out.iterdir()))
    if not is_site:
        raise UserError(f"--out {out}: exists and is not a site; name another folder")


def _write_folder(site: Path, parts: Parts, initial_view: InitialView) -> None:
    for asset in sorted(ASSETS.iterdir()):
        if asset.suffix in (".js", ".css"):
            shutil.copyfile(asset, site / asset.name)
    (site / "data").mkdir()
    for name, part in parts.items():
        path = site / "data" / f"{name}.js"
        path.write_text(encode_script(name, part), encoding="ascii")
    meta = parts["meta"]
    record = {
        "dataset": meta["dataset"],
        "identity": meta["identity"],
        "opening": {
            "protocol": initial_view.protocol,
            "dimensions": list(initial_view.dimensions),
            "metrics": list(initial_view.metrics),
            "pooling": initial_view.pooling,
        },
        "code": meta["code"],
        "files": parts["files"],
    }
    (site / "provenance.json").write_text(
        json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (site / "index.html").write_text(_render_page(parts), encoding="utf-8")


def _render_page(parts: Parts, one_file: bool = False) -> str:
    """Return the site's page. With ``one_file`` it carries style, scripts and all data itself."""
    names = [name for name in FIRST_PARTS if name in parts]
    if one_file:
        names += sorted(set(parts) - set(names))
    # A script of data holds no "<": see `encode_script`.
    data = [(name, Markup(encode_script(name, parts[name])) if one_file else "") for name in names]
    return render_template(ASSETS / "index.html", data=data, one_file=one_file)


def read_initial_view(folder: Path) -> InitialView:
    """Return the initial view of the site that the workflow built, or the default if there is none.

    >>> read_initial_view(Path("no such folder")).protocol
    """
    path = Path(folder) / "report" / "site" / "provenance.json"
    if not path.is_file():
        return InitialView()
    view: Mapping[str, Any] = read_json(path, allow_nan=True)["opening"]
    # A site of an earlier version has no pooling.
    pooling = {"pooling": view["pooling"]} if "pooling" in view else {}
    return InitialView(
        view["protocol"], tuple(view["dimensions"]), tuple(view["metrics"]), **pooling
    )


def _write_zip(site: Path, name: str) -> Path:
    """Write a zip file with the site in a folder ``name``. The same site gives the same bytes."""
    path = site.with_name("site.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in site.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{file.relative_to(site).as_posix()}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return path


def _move_file(path: Path, out: Path) -> None:
    apply_umask(path)
    path.replace(out)


def _list_tested_samples(parts: Parts) -> set[str]:
    """Return the samples that at least one metric scored under the site's main protocol."""
    columns = [
        column["raw"]
        for by_dimension in parts.get("predictions-0", {}).values()
        for column in by_dimension.values()
    ]
    scores = zip(parts["samples"]["id"], *columns, strict=True)
    return {name for name, *raw in scores if any(value is not None for value in raw)}


def draw_samples(source: DatasetTables, count: int, seed: str, tested: set[str]) -> list[str]:
    """Draw ``count`` samples for a small site, or all samples if there are fewer.

    Pairs are drawn, those with a sample in ``tested`` first, and each pair brings the samples of
    all methods, so that the methods can be compared. The same ``seed`` gives the same samples.
    """
    samples = source.read_frame(tables.SAMPLES)
    pairs = samples["pair_id"].fillna(samples["sample_id"])
    shuffled = identity.random_generator("site", seed).permutation(sorted(set(pairs)))
    rank = {str(pair): number for number, pair in enumerate(shuffled)}
    tested_pairs = pairs[samples["sample_id"].isin(tested)]
    order = samples.assign(untested=~pairs.isin(tested_pairs), rank=pairs.map(rank))
    order = order.sort_values(["untested", "rank", "method", "sample_id"])
    return sorted(order["sample_id"].head(count))


def select_samples(parts: Parts, sample_ids: set[str]) -> Parts:
    """Return the parts with the rows of some samples only; correlation tables are not changed.

    Such a site is made to be passed on, so the raters' names are replaced by numbers.
    """
    total = len(parts["samples"]["id"])
    rows = [n for n, name in enumerate(parts["samples"]["id"]) if name in sample_ids]

    def select_rows(value: Any) -> Any:
        if isinstance(value, list):
            return [value[n] for n in rows] if len(value) == total else value
        if isinstance(value, dict):
            if set(value) == {"values", "codes"}:
                # Encoded anew, without the values that only other samples have.
                texts = [value["values"][c] if c >= 0 else None for c in value["codes"]]
                return encode_column([texts[n] for n in rows])
            return {name: select_rows(part) for name, part in value.items()}
        return value

    selected = dict(parts)
    for name in parts:
        if name == "samples" or name.startswith("predictions-"):
            selected[name] = select_rows(parts[name])
        elif name in ("features", "hashes"):
            selected[name] = [
                column | {"values": select_rows(column["values"])} for column in parts[name]
            ]
    selected["scores"] = _select_scores(parts["scores"], rows)
    rejects = parts["rejects"]
    rejected = [n for n, item in enumerate(rejects["item"]) if item in sample_ids]
    selected["rejects"] = {name: [column[n] for n in rejected] for name, column in rejects.items()}
    selected["meta"] = {**parts["meta"], "shown": len(rows)}
    return selected


def _select_scores(scores: Parts, rows: list[int]) -> Parts:
    raters = [f"rater {n + 1}" for n in range(len(scores["raters"]))]
    selected: Parts = {"raters": raters, "dimensions": {}}
    for dimension, ratings in scores["dimensions"].items():
        start, indices = [0], []
        for n in rows:
            indices += list(range(ratings["start"][n], ratings["start"][n + 1]))
            start.append(len(indices))
        selected["dimensions"][dimension] = {
            "start": start,
            "rater": [ratings["rater"][n] for n in indices],
            "score": [ratings["score"][n] for n in indices],
            "rejected": ratings["rejected"],
        }
    return selected
