"""A site of a dataset that opens from a file, offline: as a folder, a zip or one page to mail."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from markupsafe import Markup

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.report import addresses, provenance
from sfqa.report.site_data import Opening, Parts, Source, coded, collect
from sfqa.templates import render_template
from sfqa.thumbnails import located

VERSION = 1

#: Scripts, style and the page itself, written by hand; no library.
ASSETS = Path(__file__).with_name("site")
#: Parts that the first view needs; the others are loaded when they are asked for.
FIRST = ("meta", "samples", "predictions-0")

_IMAGE_PX = 320


def build_site(
    folder: Path,
    out: Path,
    opening: Opening | None = None,
    files: Iterable[Path] | None = None,
    sample: int | None = None,
) -> list[str]:
    """Write the site of a dataset's folder to ``out`` and return the samples that it shows.

    ``out``: a folder; with ``sample`` also a ``.zip`` or one ``.html``. Videos are linked by
    relative paths; with ``sample`` so many samples are chosen (whole pairs where it can be) and
    their videos copied in. ``files``: the tables to use, all of the folder by default. Everything
    is written beside ``out`` and renamed. Raises :class:`UserError` for a folder without samples,
    an ``out`` that is something else, and a ``.zip`` or ``.html`` without ``sample``.
    """
    folder, out, opening = Path(folder), Path(out), opening or Opening()
    packed = out.suffix.lower() in (".zip", ".html")
    if packed and not sample:
        raise UserError(
            f"--out {out}: all videos do not go into one file; say how many with --sample, "
            "or name a folder"
        )
    if sample is not None and sample < 1:
        raise UserError(f"--sample {sample}: 1 or more samples are needed")
    _check_out(out, packed)
    tables_read = provenance.found(folder) if files is None else sorted(map(Path, files))
    source = Source(folder, tuple(tables_read))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        made = Path(name) / "site"
        made.mkdir()
        address = _Copies(folder, made) if sample else _Links(folder, out)
        parts = collect(source, opening, address)
        if sample:
            keep = set(restricted(source, sample, str(parts["meta"]["dataset"]), _tested(parts)))
            parts = rows_of(parts, keep)
            address.bring(parts, inline=out.suffix.lower() == ".html")
        if out.suffix.lower() == ".html":
            page = Path(name) / "one.html"
            page.write_text(_page(parts, one_file=True), encoding="utf-8")
            _rename(page, out)
            return list(parts["samples"]["id"])
        _write(made, parts, opening)
        if packed:
            _rename(_zipped(made, out.stem), out)
        else:
            if out.exists():
                shutil.rmtree(out)
            made.replace(out)
            out.chmod(0o755)
    return list(parts["samples"]["id"])


def crate_file(folder: Path, out: Path, site: Path) -> dict[str, Any]:
    """Write the RO-Crate of a dataset's folder and return it; its site, made before, is a part.

    Files and code are those that the site was made from (its ``provenance.json``).
    """
    told = json.loads((site / "provenance.json").read_text(encoding="utf-8"))
    used = [folder / record["path"] for record in told["files"]]
    pages = [(f"{site.relative_to(folder).as_posix()}/", "Site of the dataset, open index.html")]
    date = provenance.date_of(told["code"], used)
    crate = provenance.crate(told["dataset"], told["files"], told["code"], date, pages)
    with store.replacing(out) as temporary:
        temporary.write_text(
            json.dumps(crate, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return crate


def script(name: str, part: Any) -> str:
    """Return a part as a script: pages opened from a file cannot fetch.

    Data can hold any sign: no ``<`` is left in it, so that it ends no script element, and no sign
    outside ASCII, so that the page's encoding does not matter.

    >>> script("meta", {"a": "</script>"})
    'SFQA.part("meta",{"a":"\\\\u003c/script>"});\\n'
    """
    texts = (json.dumps(value, separators=(",", ":"), allow_nan=False) for value in (name, part))
    return f"SFQA.part({','.join(texts)});\n".replace("<", "\\u003c")


@dataclass
class _Links:
    """Addresses of videos where they lie, as seen from the site."""

    folder: Path
    out: Path

    def __call__(self, path: str | None) -> str | None:
        target = located(path, self.folder)
        return None if target is None else addresses.link(target, self.out)

    def bring(self, parts: Parts, inline: bool) -> None:
        """Nothing is copied."""


@dataclass
class _Copies:
    """Keeps the files' places until it is known which samples are shown, then copies these."""

    folder: Path
    made: Path
    brought: dict[str, str | None] = field(default_factory=dict)

    def __call__(self, path: str | None) -> str | None:
        target = located(path, self.folder)
        return None if target is None else str(target)

    def bring(self, parts: Parts, inline: bool) -> None:
        """Copy videos and small images of the shown samples, or put them into the page."""
        samples = parts["samples"]
        samples["video"] = [self._one(path, inline) for path in samples["video"]]
        samples["image"] = coded(
            samples["image"]["values"][code] if code >= 0 else None
            for code in samples["image"]["codes"]
        )
        samples["image"]["values"] = [self._one(p, inline) for p in samples["image"]["values"]]
        parts["meta"]["videos"] = sum(path is not None for path in samples["video"])

    def _one(self, path: str | None, inline: bool) -> str | None:
        if path is None or not Path(path).is_file():
            return None
        if path not in self.brought:
            number = len(self.brought)
            image = Path(path).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
            # Names of files say nothing that the tables do not, and can hold any sign.
            target = self.made / "media" / f"{number:04d}{'.jpg' if image else Path(path).suffix}"
            target.parent.mkdir(exist_ok=True)
            if not image:
                shutil.copyfile(path, target)
            elif not _small_image(Path(path), target):
                return None
            self.brought[path] = addresses.data_uri(target) if inline else f"media/{target.name}"
        return self.brought[path]


def _small_image(path: Path, target: Path) -> bool:
    picture = cv2.imread(str(path))
    if picture is None:
        return False
    scale = min(1.0, _IMAGE_PX / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bool(cv2.imwrite(str(target), small, [cv2.IMWRITE_JPEG_QUALITY, 85]))


def _check_out(out: Path, packed: bool) -> None:
    if packed and out.is_dir():
        raise UserError(f"--out {out}: a folder of that name is there; give another name")
    if packed or not out.exists():
        return
    ours = (out / "data" / "meta.js").is_file() or (out.is_dir() and not any(out.iterdir()))
    if not ours:
        raise UserError(
            f"--out {out}: something other than a site is there already; name another folder"
        )


def _write(made: Path, parts: Parts, opening: Opening) -> None:
    for asset in sorted(ASSETS.iterdir()):
        if asset.suffix in (".js", ".css"):
            shutil.copyfile(asset, made / asset.name)
    (made / "data").mkdir()
    for name, part in parts.items():
        path = made / "data" / f"{name}.js"
        path.write_text(script(name, part), encoding="ascii")
    meta = parts["meta"]
    told = {
        "dataset": meta["dataset"],
        "identity": meta["identity"],
        "opening": {
            "protocol": opening.protocol,
            "dimensions": list(opening.dimensions),
            "metrics": list(opening.metrics),
        },
        "code": meta["code"],
        "files": parts["files"],
    }
    (made / "provenance.json").write_text(
        json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (made / "index.html").write_text(_page(parts), encoding="utf-8")


def _page(parts: Parts, one_file: bool = False) -> str:
    """Return the site's page; as one file it carries style, scripts and data itself."""
    names = [name for name in FIRST if name in parts]
    if one_file:
        names += sorted(set(parts) - set(names))
    # A script of data holds no "<": see `script`.
    data = [(name, Markup(script(name, parts[name])) if one_file else "") for name in names]
    return render_template(ASSETS / "index.html", data=data, one_file=one_file)


def opening_of(folder: Path) -> Opening:
    """Return how the workflow's site of this dataset opens; the plain opening where there is none.

    >>> opening_of(Path("no such folder")).protocol
    """
    path = Path(folder) / "report" / "site" / "provenance.json"
    if not path.is_file():
        return Opening()
    told: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["opening"]
    return Opening(told["protocol"], tuple(told["dimensions"]), tuple(told["metrics"]))


def _zipped(made: Path, name: str) -> Path:
    """Return a zip of the site below one folder, the same bytes for the same site."""
    path = made.with_name("site.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in made.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{file.relative_to(made).as_posix()}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return path


def _rename(path: Path, out: Path) -> None:
    path.chmod(0o644)
    path.replace(out)


def _tested(parts: Parts) -> set[str]:
    """The samples that some metric was tested on under the protocol that the site opens with."""
    columns = [
        column["raw"]
        for by_dimension in parts.get("predictions-0", {}).values()
        for column in by_dimension.values()
    ]
    scored = zip(parts["samples"]["id"], *columns, strict=True)
    return {name for name, *raw in scored if any(value is not None for value in raw)}


def restricted(source: Source, count: int, seed: str, tested: set[str]) -> list[str]:
    """Return ``count`` samples for a small site: as many of each method, drawn, the same each time.

    Whole pairs are preferred, so that methods can be compared: pairs are drawn, those with a sample
    of ``tested`` first, then their samples in order. All samples where there are no more.
    """
    samples = source.frame("samples.parquet", tables.SAMPLES)
    pairs = samples["pair_id"].fillna(samples["sample_id"])
    drawn = identity.generator("site", seed).permutation(sorted(set(pairs)))
    place = {str(pair): number for number, pair in enumerate(drawn)}
    known = pairs[samples["sample_id"].isin(tested)]
    order = samples.assign(untested=~pairs.isin(known), place=pairs.map(place))
    order = order.sort_values(["untested", "place", "method", "sample_id"])
    return sorted(order["sample_id"].head(count))


def rows_of(parts: Parts, keep: set[str]) -> Parts:
    """Return the parts with only some samples' rows; tables of correlations stay whole.

    Raters get numbers for names: such a site is made to be handed on.
    """
    places = [n for n, name in enumerate(parts["samples"]["id"]) if name in keep]
    whole = len(parts["samples"]["id"])

    def cut(value: Any) -> Any:
        if isinstance(value, list):
            return [value[n] for n in places] if len(value) == whole else value
        if isinstance(value, dict):
            if set(value) == {"values", "codes"}:
                # Values that no kept sample has would be idle choices, or say what was left out.
                texts = [value["values"][c] if c >= 0 else None for c in value["codes"]]
                return coded([texts[n] for n in places])
            return {name: cut(part) for name, part in value.items()}
        return value

    made = dict(parts)
    for name in parts:
        if name == "samples" or name.startswith("predictions-"):
            made[name] = cut(parts[name])
        elif name in ("features", "hashes"):
            made[name] = [column | {"values": cut(column["values"])} for column in parts[name]]
    raters = [f"rater {n + 1}" for n in range(len(parts["scores"]["raters"]))]
    made["scores"] = {"raters": raters, "dimensions": {}}
    rejects = parts["rejects"]
    told = [n for n, item in enumerate(rejects["item"]) if item in keep]
    made["rejects"] = {name: [column[n] for n in told] for name, column in rejects.items()}
    for dimension, own in parts["scores"]["dimensions"].items():
        start, spans = [0], []
        for n in places:
            spans += list(range(own["start"][n], own["start"][n + 1]))
            start.append(len(spans))
        made["scores"]["dimensions"][dimension] = {
            "start": start,
            "rater": [own["rater"][n] for n in spans],
            "score": [own["score"][n] for n in spans],
            "rejected": own["rejected"],
        }
    made["meta"] = {**parts["meta"], "shown": len(places)}
    return made
