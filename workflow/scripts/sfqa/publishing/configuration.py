"""The configuration in a published folder, which computes the tables of the dataset again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import yaml

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.publishing.content import Content, Item
from sfqa.splits.protocols import CROSS
from sfqa.untrusted.documents import read_yaml

Json = dict[str, Any]

#: Files of a published folder that its configuration names.
CONFIG_FILE, SHEET_FILE, SCORES_FILE = "sfqa.yaml", "videos.csv", "data/scores.parquet"
FEATURES_FILE, TAGS_FILE = "features_and_mos.csv", "tables/tags.csv"
#: Keys of the configuration whose values are files of the published folder.
_PATHS = (("import", "sheet"), ("import", "folder"), ("import", "table"), ("ratings", "path"),
          ("ratings", "tags"))  # fmt: skip
_COPIED = ("dataset", "mode", "seed", "shards", "max_failed", "conform", "correlation")
_RATING_KEYS = ("ends", "scale", "screening")
#: Values of features.NAME.weights that are no path.
_NO_FILES = ("official", "random", "none")
#: Options of extractors that name a machine of the user, with what is written instead.
_MACHINES = {"address": "http://127.0.0.1:8000/v1"}


def build_config(content: Content) -> Json:
    """Return the configuration of a published dataset; its paths start at the folder.

    What cannot be repeated from the folder is added to ``content.left_out`` with its reason.
    """
    config = content.config
    shared: Json = {key: copy.deepcopy(config[key]) for key in _COPIED if config.get(key)}
    if config["mode"] == "import_features":
        shared["import"] = _describe_features(content)
        shared.pop("conform", None)
    else:
        shared["mode"] = "import_videos"
        shared["import"] = {"sheet": SHEET_FILE}
        if content.scores is None and len(content.mos):
            shared["import"] = _describe_labels(content)
        if content.keys:
            shared["import"]["keys"] = content.keys
        shared["features"] = _describe_extractors(config.get("features", {}), content)
        shared |= _allow_left_out_videos(content)
    shared["ratings"] = _describe_ratings(content)
    shared["regression"] = {
        "protocols": _describe_protocols(content),
        "metrics": copy.deepcopy(config.get("regression", {}).get("metrics", {})),
    }
    return {key: value for key, value in shared.items() if value != {}}


def _allow_left_out_videos(content: Content) -> Json:
    """Return the keys with which a run accepts that the videos that are left out are missing."""
    videos = [item for item in content.items if item.kind == "video"]
    share = sum(bool(item.reason) for item in videos) / max(1, len(videos))
    if not share:
        return {}
    return {"missing": "skip", "max_failed": max(content.config["max_failed"], round(share, 3))}


def _describe_features(content: Content) -> Json:
    source = content.config["import"]
    names = [name for name in ("image_id", "clip_id", "method") if name in content.samples]
    return {
        "table": FEATURES_FILE,
        "id": "sample_id",
        "columns": {name.removesuffix("_id"): name for name in names},
        "features": content.features,
        "mos": {dimension: f"{dimension}_mos" for dimension in content.dimensions},
        "synthetic": bool(source.get("synthetic", False)),
    }


def _describe_labels(content: Content) -> Json:
    """Return the section ``import`` for videos with published MOS."""
    labels: Json = {"files": SHEET_FILE, "video": "video", "columns": _list_fields(content)}
    labels |= {
        key: {name: f"{name}_{key}" for name in content.dimensions} for key in ("mos", "sd", "n")
    }
    labels["columns"] = {name: name for name in labels["columns"]}
    shared: Json = {"folder": ".", "labels": labels, "without_video": "keep"}
    videos = content.samples["video"] if "video" in content.samples else pd.Series(dtype=object)
    if videos.dropna().duplicated().any():
        shared["samples_by"] = ["sample_id"]
    return shared


def _list_fields(content: Content) -> list[str]:
    """Return the columns of the sheet besides the video: fields of the samples, and keys."""
    fields = ("sample_id", "method", "image_id", "clip_id", "image_source", "image_category",
              "style", "language", "prompt", "split")  # fmt: skip
    return [name for name in (*fields, *content.keys) if name in content.samples]


def build_sheet(content: Content) -> pd.DataFrame:
    """Return the sheet of videos: path, fields of the sample and, for published MOS, the MOS.

    A video that is left out keeps its row, so that its scores count; its file is missing.
    """
    files = {item.name: item.file for item in content.items if item.kind == "video"}
    sheet = content.samples[_list_fields(content)].copy()
    sheet.insert(0, "video", sheet["sample_id"].map(files))
    if content.scores is None:
        for key in ("mos", "sd", "n"):
            for dimension, rows in content.mos.groupby("dimension"):
                values = rows.set_index("sample_id")[key]
                sheet[f"{dimension}_{key}"] = sheet["sample_id"].map(values)
    return sheet


def build_features_table(content: Content, folder: Path) -> pd.DataFrame:
    """Return one table of ready features and MOS, for a dataset without videos."""
    paths = sorted(Path(folder).glob(tables.FEATURES.glob(extractor="imported")))
    features = pd.concat([store.load(path).to_pandas() for path in paths])
    frame = content.samples.set_index("sample_id")
    mos = [f"{dimension}_mos" for dimension in content.dimensions]
    labels = [name for name in _list_fields(content) if name != "sample_id"]
    joined = frame[[*labels, *mos]].join(features.set_index("sample_id")[content.features])
    return joined.reset_index()


def _describe_extractors(features: Mapping[str, Any], content: Content) -> Json:
    shared: Json = {}
    for name, spec in features.items():
        entry = copy.deepcopy(dict(spec))
        for part in (entry, *entry.get("parts", {}).values()):
            if str(part.get("weights", "none")) not in _NO_FILES:
                file = PurePosixPath(str(part["weights"])).name
                part["weights"] = f"weights/{file}"
                reason = "weights of an extractor are not shared; put the file there to repeat it"
                content.left_out.append(
                    Item("weights", f"{name}: {file}", "", part["weights"], reason=reason)
                )
        for option, value in _MACHINES.items():
            if entry.get("options", {}).get(option):
                entry["options"][option] = value
        shared[name] = entry
    return shared


def _describe_ratings(content: Content) -> Json:
    ratings = content.config.get("ratings", {})
    shared: Json = {}
    if "tags" in ratings:
        shared["tags"] = TAGS_FILE
    if "answers" in ratings:
        reason = "the expected answers of checks; with them a study could not be repeated"
        content.left_out.append(Item("answers", "ratings.answers", "", reason=reason))
    if content.scores is None:
        source = "labels" if len(content.mos) else "none"
        return (
            shared if content.config["mode"] == "import_features" else {"source": source} | shared
        )
    columns = {name: name for name in ("rater", "sample_id", "dimension", "score")}
    shared |= {"source": "table", "path": SCORES_FILE, "columns": columns}
    shared |= {key: ratings[key] for key in _RATING_KEYS if key in ratings}
    if content.is_synthetic:
        shared["synthetic"] = True
    return shared


def _describe_protocols(content: Content) -> list[Json]:
    shared = []
    for protocol in content.config.get("regression", {}).get("protocols", []):
        name = protocol["name"]
        if protocol["kind"] == CROSS:
            reason = "it tests models of another dataset, which are not in this folder"
            content.left_out.append(Item("protocol", name, "", reason=reason))
            continue
        entry = copy.deepcopy(dict(protocol))
        if "lists" in entry:
            columns = {key: key for key in ("trial", "part")}
            entry["lists"] = {"folder": ".", "files": f"tables/trials_{name}.csv"}
            entry["lists"] |= {"sample": "sample_id", **columns}
        shared.append(entry)
    return shared


def write_config(config: Mapping[str, Any], path: Path, comment: str) -> None:
    """Write a configuration as YAML below a comment."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=120)
    path.write_text("\n".join(lines) + "\n" + text, encoding="utf-8")


def move_config(config: Mapping[str, Any], folder: Path) -> Json:
    """Return the configuration of a published folder with paths that start at ``folder``.

    >>> moved = move_config({"import": {"sheet": "videos.csv"}}, Path("/data/set"))
    >>> moved["import"]["sheet"]
    '/data/set/videos.csv'
    """
    moved = copy.deepcopy(dict(config))
    for section, key in _PATHS:
        if key in moved.get(section, {}):
            moved[section][key] = str(folder / moved[section][key])
    for protocol in moved.get("regression", {}).get("protocols", []):
        if "lists" in protocol:
            protocol["lists"]["folder"] = str(folder)
    for spec in moved.get("features", {}).values():
        for part in (spec, *spec.get("parts", {}).values()):
            if str(part.get("weights", "none")) not in _NO_FILES:
                part["weights"] = str(folder / part["weights"])
    return moved


def read_config(folder: Path) -> Json:
    """Return the configuration of a published folder; raises :class:`UserError` if it has none."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise UserError(
            f"{folder}: no {CONFIG_FILE} in it, which sfqa publish writes; name a published "
            "folder, or a dataset of config/datasets/ with its folder"
        )
    config = read_yaml(path, "fetch the folder again")
    if not isinstance(config, dict) or "dataset" not in config:
        raise UserError(f"{path}: no configuration of a dataset; fetch the folder again")
    return config
