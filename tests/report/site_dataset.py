"""A drawn dataset for the site: tables of every kind, names that hold every awkward sign, a few videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sfqa import identity, media, store, tables
from sfqa.correlation.summarise import correlation_rows, round_rows

DIMENSIONS = ("visual_quality", "audio_visual_consistency")
PROTOCOLS = ("disjoint", "random", "leave_one_method_out")
#: Ends a script, opens a comment, is markup, is a template, is not ASCII.
EVIL = "</script><script>window.evil=1</script><!--<img src=x onerror=window.evil=1>\"'`${1}é中\u2028&amp;"
GOOD = {"status": "ok", "detail": ""}


def list_metrics(count: int) -> list[dict[str, Any]]:
    """Controls first, then one of each kind."""
    made = [
        {"name": "random", "group": "Controls", "kind": "control", "direction": 1, "weights": "none"},
        {"name": "constant", "group": "Controls", "kind": "control", "direction": 1, "weights": "none"},
        {"name": "Sharpness", "group": "Signal", "kind": "zero_shot", "direction": 1, "weights": "none"},
        {"name": "LSE-D", "group": "SyncNet</script>", "kind": "zero_shot", "direction": -1, "weights": "random"},
    ]  # fmt: skip
    for number in range(count - len(made)):
        made.append(
            {"name": f"Regressor-{number:02d}", "group": "Regressors", "kind": "regressor", "direction": 1,
             "weights": "none" if number else "official"}
        )  # fmt: skip
    return made[:count]


def make(
    folder: Path, methods: int = 4, pairs: int = 6, metrics: int = 6, evil: bool = True, videos: int = 4,
    raters: int = 5, features: int = 3, protocols: int = 3,
) -> Path:  # fmt: skip
    """Write a dataset below ``results/`` and return its folder; the first samples have real videos."""
    draw = identity.random_generator("site test", methods, pairs)
    labels = [f"method{n:02d}" for n in range(methods)]
    samples, conformed = [], []
    for pair in range(pairs):
        for label in labels:
            name = f"face{pair:03d}__song{pair:03d}__{label}"
            if evil and pair == 1:
                name = f"{EVIL.replace('/', '')}__{pair}__{label}"
            path = f"results/{folder.name}/conform/{label}/videos/{len(samples):05d} é#%.mp4"
            bad = (pair + labels.index(label)) % 5 == 4
            samples.append(
                {"sample_id": name, "method": label, "pair_id": name.rsplit("__", 1)[0], "image_id": f"face{pair:03d}",
                 "clip_id": f"song{pair:03d}", "image_source": "synthetic", "image_category": EVIL if evil and pair == 2 else f"cat{pair % 5}",
                 "style": f"style{pair % 3}", "language": "zh", "prompt": EVIL if evil and pair == 2 else None,
                 "split": "val" if pair % 4 == 0 else "train", "shard": 0, "image_sha256": identity.digest(pair)}
            )  # fmt: skip
            conformed.append(
                {"sample_id": name, "method": label, "shard": 0, "path": path, "sha256": identity.digest(name),
                 "source_sha256": identity.digest([name]), "fps": 25.0, "frames": 20, "width": 64, "height": 64, "duration_sec": 0.8,
                 **({"status": "flawed", "detail": f"cut_short: the picture {EVIL} lasts 1 s; silent: peak -80 dB"} if bad and evil else GOOD)}
            )  # fmt: skip
    store.write(tables.SAMPLES, samples, folder / "samples.parquet")
    store.write(tables.CONFORMED, conformed, folder / "conform/videos.parquet")
    for record in conformed[:videos]:
        draw_video(folder.parents[1] / record["path"], str(record["sample_id"]))
    rejected = [{k: r[k] for k in ("method", "status", "detail")} | {"stage": "conformed", "item": r["sample_id"]}
                for r in conformed if r["status"] != "ok"]  # fmt: skip
    store.write(tables.REJECTS, rejected, folder / "rejects.parquet")
    names = [str(row["sample_id"]) for row in samples]
    quality = {d: 50 + 12 * draw.standard_normal(len(names)) for d in DIMENSIONS}
    _ratings(folder, names, quality, raters, draw)
    _features(folder, samples, quality[DIMENSIONS[0]], features, draw)
    _predictions(folder, samples, list_metrics(metrics), quality, PROTOCOLS[:protocols], draw)
    return folder


def draw_video(path: Path, name: str, frames: int = 20) -> None:
    """A small moving pattern with a tone, a colour of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = identity.seed_of(name) % 200
    picture = np.full((64, 64, 3), shade, np.uint8)
    picture[16:48, 16:48] = 255 - shade
    wave = path.with_suffix(".wav")
    seconds = np.arange(round(frames / 25 * 16000)) / 16000
    media.write_wave(wave, 0.1 * np.sin(2 * np.pi * 330 * seconds), 16000)
    media.write_video(path, [np.roll(picture, 2 * n, axis=1) for n in range(frames)], 25.0, wave)
    wave.unlink()


def _ratings(folder: Path, names: list[str], quality: Any, raters: int, draw: Any) -> None:
    scores, mos = [], []
    for dimension, values in quality.items():
        given = np.clip(
            np.round(values[:, None] / 20 + 0.5 * draw.standard_normal((len(names), raters))), 1, 5
        )
        for row, name in enumerate(names):
            scores += [{"rater": f"r{n:02d}", "sample_id": name, "dimension": dimension, "score": given[row, n], "synthetic": True}
                       for n in range(raters)]  # fmt: skip
            half = 1.96 * 4 / np.sqrt(raters)
            mos.append({"sample_id": name, "dimension": dimension, "mos": values[row], "n": raters, "sd": 4.0,
                        "ci95_low": values[row] - half, "ci95_high": values[row] + half, "synthetic": True, **GOOD})  # fmt: skip
    store.write(tables.SCORES, scores, folder / "ratings/scores.parquet")
    store.write(tables.MOS, mos, folder / "ratings/mos.parquet")
    listed = [{"dimension": d, "rater": f"r{n:02d}", "n": len(names), "mean": 3.0, "sd": 1.0, "p": 0, "q": 0, "rejected": n == raters - 1,
               **(GOOD if n < raters - 1 else {"status": "failed", "detail": "outlier: rejected"})}
              for d in quality for n in range(raters)]  # fmt: skip
    store.write(tables.RATERS, listed, folder / "ratings/raters.parquet")


def _features(
    folder: Path, samples: list[dict[str, Any]], quality: Any, count: int, draw: Any
) -> None:
    columns = ["sharpness"] + [f"feature{n:02d}" for n in range(1, count)]
    about = {
        "extractor": "signal",
        "version": 1,
        "options": {"every": 1},
        "weights": {"kind": "none", "identity": "none"},
    }
    by_method: dict[str, list[int]] = {}
    for number, row in enumerate(samples):
        by_method.setdefault(row["method"], []).append(number)
    for method, rows in by_method.items():
        fields = [pa.field("sample_id", pa.string()), pa.field("method", pa.string()), pa.field("key", pa.string()),
                  pa.field("status", pa.string()), pa.field("detail", pa.string()),
                  *(pa.field(c, pa.float64(), metadata={"unit": "grey level", "meaning": f"meaning of {c}"}) for c in columns),
                  pa.field("per_second", pa.list_(pa.float32()))]  # fmt: skip
        values: list[Any] = [
            [samples[n]["sample_id"] for n in rows], [method] * len(rows), [identity.digest(["key", n]) for n in rows], ["ok"] * len(rows),
            [""] * len(rows),
            # Rounded, so that there are ties.
            [float(np.round(quality[n] + 6 * draw.standard_normal(), 0)) for n in rows],
            *([float(v) for v in draw.standard_normal(len(rows))] for _ in columns[1:]),
            [[0.0, 1.0]] * len(rows),
        ]  # fmt: skip
        arrays = [pa.array(v, f.type) for v, f in zip(values, fields, strict=True)]
        store.write_arrow(
            pa.Table.from_arrays(arrays, schema=pa.schema(fields)),
            folder / f"features/signal/{method}/0.parquet",
            about,
        )


def _predictions(
    folder: Path,
    samples: list[dict[str, Any]],
    metrics: list[dict[str, Any]],
    quality: Any,
    protocols: tuple[str, ...],
    draw: Any,
) -> None:
    frames = []
    size = len(samples)
    for place, metric in enumerate(metrics):
        parts = []
        for protocol in protocols:
            for dimension in DIMENSIONS:
                values = quality[dimension] + (8 + place) * draw.standard_normal(size)
                if metric["name"] == "constant":
                    values = np.zeros(size)
                if metric["name"] == "random":
                    values = draw.standard_normal(size)
                frame = pd.DataFrame({"metric": metric["name"], "dimension": dimension, "protocol": protocol, "trial": 0,
                                      "sample_id": [s["sample_id"] for s in samples], "part": "test",
                                      "prediction": metric["direction"] * values, **GOOD})  # fmt: skip
                if protocol == "disjoint" and size < 1000:
                    # Two trials, and a sample that is only trained on.
                    again = frame.assign(
                        trial=1, prediction=frame["prediction"] + metric["direction"]
                    )
                    frame.loc[0, "part"] = again.loc[0, "part"] = "train"
                    frame = pd.concat([frame, again])
                parts.append(frame)
        whole = pd.concat(parts, ignore_index=True)
        about = {"metric": {**{k: v for k, v in metric.items() if k != "weights"}, "head": None, "inputs": ["signal.sharpness"],
                            "extractors": ["signal"], "options": {"evil": EVIL}}}  # fmt: skip
        # As columns: tens of thousands of rows as dictionaries would take minutes.
        arrow = pa.Table.from_pandas(
            whole[tables.PREDICTIONS.names], schema=tables.PREDICTIONS.schema, preserve_index=False
        )
        store.write_arrow(arrow, folder / f"regression/{metric['name']}/predictions.parquet", about)
        frames.append(whole)
    mos = store.read(tables.MOS, folder / "ratings/mos.parquet")
    listed = store.read(tables.SAMPLES, folder / "samples.parquet")
    rows = correlation_rows(pd.concat(frames, ignore_index=True), mos, listed, metrics)
    store.write(tables.CORRELATION, round_rows(rows), folder / "correlation/correlation.parquet")
