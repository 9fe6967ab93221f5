"""Ready tables of a dataset of any size, drawn: features, MOS, ratings, predictions, no video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from _common import SEED

from sfqa import identity, store, tables
from sfqa.features import base
from sfqa.splits.protocols import TEST, VALIDATION, make_splits

METHODS = 12
RATERS, PER_SAMPLE = 120, 10
DIMENSIONS = ("visual_quality", "audio_visual_consistency")
#: Those of config/sfqa.yaml.
PROTOCOLS = [
    {"name": "disjoint", "kind": "fixed"},
    {"name": "random", "kind": "random_kfold", "k": 5},
    {"name": "leave_one_method_out", "kind": "leave_one_method_out"},
]
#: What the correlation tables are made of, with the spread of their errors (None: a constant).
DRAWN = {
    "random": 1e6, "constant": None, "oracle": 0.0, "LSE-C": 40.0, "LSE-D": 30.0,
    "SlowFast-ridge": 8.0, "CLIP-ridge": 12.0, "SlowFast-CLIP-MLP": 6.0,
}  # fmt: skip


def draw(folder: Path, rows: int) -> bool:
    """Write the tables of a dataset of so many samples; False where they are there."""
    if (folder / tables.PREDICTIONS.fill_path(metric=list(DRAWN)[-1])).is_file():
        return False
    records = list(sample_rows(rows))
    store.write(tables.SAMPLES, records, folder / tables.SAMPLES.path)
    samples = store.read(tables.SAMPLES, folder / tables.SAMPLES.path)
    ids = samples["sample_id"].tolist()
    numbers = identity.random_generator(SEED, "big tables", rows)
    lost = numbers.random(rows) < 0.01
    good = {"status": "ok", "detail": ""}
    bad = {"status": "failed", "detail": "not_decodable: the file ends in the middle"}
    conformed = [
        {"sample_id": r.sample_id, "method": r.method, "shard": r.shard, "prompt": r.prompt,
         **(bad if lost[n] else good), "sha256": identity.digest(r.sample_id), "fps": 25.0,
         "path": f"results/{folder.name}/conform/{r.method}/videos/{r.sample_id}.mp4"}
        for n, r in enumerate(samples.itertuples())
    ]  # fmt: skip
    store.write(tables.CONFORMED, conformed, folder / tables.CONFORMED.merged_path)
    quality = {d: 50 + 12 * numbers.standard_normal(rows) for d in DIMENSIONS}
    draw_ratings(folder, ids, quality, numbers)
    draw_features(folder, samples, lost, quality[DIMENSIONS[0]])
    draw_predictions(folder, samples, quality)
    return True


def draw_ratings(
    folder: Path, ids: list[str], quality: dict[str, Any], numbers: np.random.Generator
) -> None:
    """Write raw scores, the raters and the MOS, its plain mean."""
    good = {"status": "ok", "detail": "", "synthetic": True}
    scores, mos = [], []
    for d, values in quality.items():
        noise = 15 * numbers.standard_normal((len(ids), PER_SAMPLE))
        given = (values[:, None] + noise).round()
        raters = (np.arange(len(ids))[:, None] + np.arange(PER_SAMPLE)) % RATERS
        scores.append(
            pd.DataFrame(
                {
                    "rater": [f"r{n:03d}" for n in raters.ravel()],
                    "sample_id": np.repeat(ids, PER_SAMPLE),
                    "dimension": d,
                    "score": given.ravel(),
                    "synthetic": True,
                }
            )
        )
        told = {"mos": given.mean(axis=1), "n": PER_SAMPLE, "sd": given.std(axis=1, ddof=1)}
        mos.append(pd.DataFrame({"sample_id": ids, "dimension": d, **told, **good}))
    as_table(tables.SCORES, pd.concat(scores), folder / tables.SCORES.path)
    as_table(tables.MOS, pd.concat(mos), folder / tables.MOS.path)
    told = {"n": len(ids), "p": 0, "q": 0, "rejected": False, "status": "ok", "detail": ""}
    names = [f"r{n:03d}" for n in range(RATERS)]
    listed = [{"dimension": d, "rater": name, **told} for d in quality for name in names]
    store.write(tables.RATERS, listed, folder / tables.RATERS.path)


def as_table(table: Any, frame: Any, path: Path, about: dict[str, Any] | None = None) -> None:
    """Write a frame as a table by columns: a million rows as dictionaries would take minutes."""
    for name in set(table.names) - set(frame.columns):
        frame = frame.assign(**{name: None})
    whole = pa.Table.from_pandas(frame[table.names], schema=table.schema, preserve_index=False)
    store.write_arrow(whole.sort_by([(k, "ascending") for k in table.key]), path, about)


def sample_rows(rows: int) -> Iterator[dict[str, Any]]:
    """Yield samples: 12 methods; 7 of 9 pairs train; no image, clip or prompt on both sides."""
    pairs = -(-rows // METHODS)
    images = {"train": max(3, pairs // 5), "val": max(3, pairs // 16)}
    shards = max(1, rows // 1_600)
    for place in range(rows):
        pair, method = divmod(place, METHODS)
        side = "val" if pair % 9 > 6 else "train"
        image = f"{side}_face{pair % images[side]:04d}"
        clip = f"{side}_song{(pair * 7 + pair // 11) % max(3, images[side] // 3):04d}"
        name = identity.sample_id(identity.pair_id(image, f"{clip}_{pair}"), f"method{method:02d}")
        yield {"sample_id": name, "method": f"method{method:02d}",
               "pair_id": f"{image}__{clip}_{pair}", "image_id": image, "clip_id": clip,
               "image_source": "synthetic", "language": "zh",
               "image_category": f"category{pair % 11}", "style": f"style{pair % 7}",
               "prompt": f"a person sings, {side} {pair % 60}", "split": side,
               "shard": identity.shard_of(name, shards)}  # fmt: skip


def draw_features(folder: Path, samples: Any, lost: Any, quality: Any) -> None:
    """Write the feature tables of SlowFast, CLIP and LSE, shard by shard, MOS in some columns."""
    extractors = {"slowfast": (6, 2304), "clip": (8, 512), "lse": ()}
    for (method, shard), own in samples.groupby(["method", "shard"]):
        for name, shape in extractors.items():
            numbers = identity.random_generator(SEED, name, str(method), int(shard))
            rows = []
            for place in own.index:
                row = {"sample_id": own.at[place, "sample_id"], "method": method,
                       "key": identity.digest([name, int(place)])}  # fmt: skip
                if lost[place]:
                    rows.append({**row, "status": "failed", "detail": "not_decodable: it ends"})
                    continue
                row |= {"status": "ok", "detail": ""}
                if shape:
                    values = numbers.standard_normal(shape, np.float32)
                    values[:, :64] += (quality[place] - 50) / 24
                    cells = {"slowfast": values, "image": values, "text": values[:1], "cosine": 0.3}
                else:
                    value = quality[place] + 30 * numbers.standard_normal()
                    noise = numbers.standard_normal(146).astype("f4")
                    cells = {"lse_c": value / 20, "lse_d": 20 - value / 20, "offset": 0,
                             "mean_distance": noise[:31], "window_distance": noise,
                             "track_frames": 150, "face_share": 1.0, "tracks": 1}  # fmt: skip
                rows.append(row | cells)
            about = {"extractor": name, "version": base.read_extractor_version(name), "options": {},
                     "weights": {"kind": "random", "identity": "random"}}  # fmt: skip
            table = base.build_table(base.load_extractor(name).FEATURES, rows)
            store.write_arrow(table, folder / f"features/{name}/{method}/{shard}.parquet", about)


def draw_predictions(folder: Path, samples: Any, quality: dict[str, Any]) -> None:
    """Write the predictions of every metric: test rows, and validation rows of regressors."""
    place = {s: n for n, s in enumerate(samples["sample_id"])}
    splits = [s for protocol in PROTOCOLS for s in make_splits(samples, protocol, 1)]
    for metric, spread in DRAWN.items():
        keep = {TEST, VALIDATION} if spread and "-" in metric and metric[:3] != "LSE" else {TEST}
        frames = []
        for split in splits:
            ids = [s for s, part in split.part.items() if part in keep]
            where = np.array([place[s] for s in ids])
            for d, values in quality.items():
                numbers = identity.random_generator(SEED, metric, split.protocol, split.trial, d)
                noise = numbers.standard_normal(len(ids)) * (spread or 0.0)
                value = np.zeros(len(ids)) if spread is None else values[where] + noise
                frames.append(pd.DataFrame({
                    "metric": metric, "dimension": d, "protocol": split.protocol,
                    "trial": split.trial, "sample_id": ids, "part": [split.part[s] for s in ids],
                    "prediction": -value if metric == "LSE-D" else value, "status": "ok",
                    "detail": "",
                }))  # fmt: skip
        about = {"metric": {"name": metric, "direction": -1 if metric == "LSE-D" else 1}}
        path = folder / tables.PREDICTIONS.fill_path(metric=metric)
        as_table(tables.PREDICTIONS, pd.concat(frames), path, about)
