"""A small drawn dataset: two images, two clips, two methods, three raters with telling names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sfqa import identity, store, tables
from sfqa.ratings.mos import compute_mos

GOOD = {"status": "ok", "detail": ""}
RATERS = ("Zacharias Berg", "Anneliese Koch", "Theodora Lind", "Ulrike Sommer")
METHODS = ("sharp", "late")


def write_file(path: Path, text: str) -> tuple[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return str(path), identity.sha256_file(path)


def write_materials(folder: Path, licences: dict[str, str | None]) -> None:
    images, clips = [], []
    for name in ("face1", "face2"):
        path, sha256 = write_file(folder / f"materials/images/{name}.png", name)
        images.append(
            {"image_id": name, "source": "real", "category": "photo", "licence": licences.get(name),
             "original": f"/home/someone/{name}.jpg", "path": path, "sha256": sha256, **GOOD}
        )  # fmt: skip
    for name in ("song1", "song2"):
        path, sha256 = write_file(folder / f"materials/clips/{name}.wav", name)
        clips.append(
            {"clip_id": name, "style": "pop", "language": "en", "origin": "recorded",
             "licence": licences.get(name), "original": f"/home/someone/{name}.flac", "path": path,
             "sha256": sha256, **GOOD}
        )  # fmt: skip
    store.write(tables.IMAGES, images, folder / tables.IMAGES.path)
    store.write(tables.CLIPS, clips, folder / tables.CLIPS.path)


def make_dataset(folder: Path, licences: dict[str, str | None], **config: Any) -> Path:
    """Write ``folder``, which is results/NAME, with all that sfqa publish reads."""
    write_materials(folder, licences)
    samples, videos, scores = [], {}, []
    for image, clip in (("face1", "song1"), ("face2", "song2")):
        for method in METHODS:
            name = f"{image}__{clip}__{method}"
            path, sha256 = write_file(folder / f"generation/{method}/videos/{name}.mp4", name)
            common = {"sample_id": name, "method": method, "shard": 0}
            samples.append(
                {**common, "pair_id": f"{image}__{clip}", "image_id": image, "clip_id": clip,
                 "style": "pop", "language": "en", "split": "val" if image == "face2" else "train",
                 "image_path": f"/home/someone/{image}.png"}
            )  # fmt: skip
            videos.setdefault(method, []).append(
                {**common, **GOOD, "path": path, "sha256": sha256, "reproducible": True}
            )
            for number, rater in enumerate(RATERS):
                score = 1.0 + (7 * len(scores) + 3 * number + len(scores) // 5) % 5
                scores.append(
                    {"rater": rater, "sample_id": name, "dimension": "quality", "score": score,
                     "synthetic": False}
                )  # fmt: skip
    store.write(tables.SAMPLES, samples, folder / tables.SAMPLES.path)
    for method, rows in videos.items():
        store.write(tables.VIDEOS, rows, folder / tables.VIDEOS.fill_path(method=method, shard="0"))
    store.write(tables.SCORES, scores, folder / tables.SCORES.path)
    mos, _ = compute_mos(store.read(tables.SCORES, folder / tables.SCORES.path), "mean")
    store.write(tables.MOS, mos, folder / tables.MOS.path)
    full = {
        "dataset": folder.name, "mode": "build", "seed": 1, "shards": 1, "max_failed": 0.2,
        "conform": {"short_side": 128}, "correlation": {"bootstrap": 20},
        "features": {"signal": {"weights": "none", "options": {}}},
        "ratings": {"source": "study", "path": "/home/someone/study", "ends": [1, 5], "scale": "mean"},
        "regression": {
            "protocols": [{"name": "disjoint", "kind": "fixed", "validation": 0}],
            "metrics": {"Sharpness": {"kind": "zero_shot", "inputs": ["signal.sharpness"]}},
        },
        **config,
    }  # fmt: skip
    manifest = {"same everywhere": {"configuration": full}, "this run": {"written": "2026-02-03T"}}
    write_file(folder / "report/manifest.json", json.dumps(manifest))
    return folder
