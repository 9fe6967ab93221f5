"""Made folders of published datasets of which a part is a guess: what is sure is as published.

What is a guess is said in the comment of the set's configuration; the made folder has the same guess.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from dataset_makers import PROMPTS, Made, make_score, maker, write_csv


@maker
def divide_maxwell(folder: Path) -> list[Made]:
    made = []
    lines: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(1, 25):
        part = "val" if number > 18 else "train"
        names = ("aesthetic", "technical", "overall_quality")
        mos = {d: make_score(number + k, -2, 2) for k, d in enumerate(names)}
        lines[part].append(", ".join([f"{number:04d}.mp4", *map(str, mos.values())]))
        columns = {"split": part, "method": "natural"}
        made.append(Made(f"videos/{number:04d}.mp4", dict(mos), columns))
    for part, rows in lines.items():
        (folder / f"{part}_labels.txt").write_text("\n".join(rows) + "\n")
    return made


@maker
def finevd_gc(folder: Path) -> list[Made]:
    made, lines = [], []
    hidden: dict[str, list[str]] = {"val": [], "test": []}
    for number in range(1, 27):
        name = f"0_00_{number % 9:02d}_16086{number:05d}-yase.mp4"
        if number <= 20:
            mos = {f"mos_{k}": make_score(number + k) for k in range(1, 7)}
            lines.append("\t".join([name, *map(str, mos.values())]))
            columns = {"split": "train", "method": "natural"}
            made.append(Made(f"train/{name}", dict(mos), columns))
        else:
            part = "val" if number < 23 else "test"
            hidden[part].append(name)
            empty: dict[str, float | None] = dict.fromkeys((f"mos_{k}" for k in range(1, 7)), None)
            made.append(Made(f"test/{name}", empty, {"split": part}))
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    for part, names in hidden.items():
        (folder / f"{part}.txt").write_text("\n".join(names) + "\n")
    return made


@maker
def finevd(folder: Path) -> list[Made]:
    stems = [f"0_{n:02d}_00_135755{n:04d}" for n in range(8)]
    stems += [f"0_16_07_5000016{n:05d}-yase" for n in range(6)]
    stems += [f"1_05_05_17278{n:05d}_1" for n in range(6)]
    made = [Made(f"{stem}.mp4", {}, {"method": "natural"}) for stem in stems]
    header = [
        "vid",
        "mos",
        "width",
        "height",
        "pixfmt",
        "framerate",
        "nb_frames",
        "bitdepth",
        "bitrate",
    ]
    for d, dimension in enumerate(
        ("color", "noise", "artifact", "blur", "temporal", "overall_quality")
    ):
        rows = []
        for number, (stem, one) in enumerate(zip(stems, made, strict=True)):
            one.mos[dimension] = make_score(number + d)
            rows.append([stem, one.mos[dimension], 1080, 1920, "yuv420p", 30.0, 240, 8, 8999590])
        label = "" if dimension == "overall_quality" else f"MOS_{dimension}_"
        path = folder / f"FINEVD_{label}metadata.csv"
        write_csv(path, header, rows)
        # In some lists the first name carries a byte order mark.
        text = path.read_text().replace(f"\n{stems[0]}", f"\n\ufeff{stems[0]}")
        path.write_text(text, encoding="utf-8")
    return made


@maker
def fvq_20k(folder: Path) -> list[Made]:
    made = []
    for part, numbers in (("train", range(16)), ("val", range(16, 19)), ("test", range(19, 26))):
        lines = []
        for number in numbers:
            name, mos = f"face_{number:05d}.mp4", make_score(number)
            lines.append(f"{name},{mos}")
            columns = {"split": part, "method": "natural"}
            made.append(Made(f"{part}/videos/{name}", {"quality": mos}, columns))
        (folder / part).mkdir()
        (folder / part / "labels.txt").write_text("\n".join(lines) + "\n")
    return made


@maker
def videofeedback(folder: Path) -> list[Made]:
    columns_of = {
        "visual_quality": "visual quality",
        "temporal_consistency": "temporal consistency",
        "dynamic_degree": "dynamic degree",
        "alignment": "text-to-video alignment",
        "factual_consistency": "factual consistency",
    }
    made = []
    for part, numbers in (("train", range(18)), ("test", range(18, 26))):
        records = []
        for number in numbers:
            mos = {d: float(1 + (number * (k + 3)) % 4) for k, d in enumerate(columns_of)}
            prompt = f"{PROMPTS[number % 3]} {number}"
            record = {"id": f"{number:07d}", "images": [f"{number:07d}_00.jpg"]}
            record |= {"text prompt": prompt, "video link": "https://example.org/a.mp4"}
            record |= {columns_of[d]: int(value) for d, value in mos.items()}
            records.append(record | {"conversations": [{"from": "human", "value": "Rate it."}]})
            columns = {"split": part, "prompt": prompt, "method": "unknown"}
            path = f"videos_annotated_{part}/{number:07d}.mp4"
            made.append(Made(path, dict(mos), columns))
        pd.DataFrame(records).to_parquet(folder / f"annotated_{part}.parquet")
    return made


@maker
def aigvqa_db(folder: Path) -> list[Made]:
    files = {
        "static_quality": "static_quality",
        "temporal_smoothness": "temporal_smoothness",
        "dynamic_degree": "dynamic_degree",
        "text_video_correspondence": "correspondence",
    }
    made = []
    lines: dict[tuple[str, str], list[str]] = {}
    for p in range(8):
        part = "test" if p > 5 else "train"
        for m, method in enumerate(("Gen-2", "floor33", "Tune-A-Video")):
            # File names repeat between methods; paths begin with a folder of the authors.
            name, mos = f"{100013 + p}.mp4", {}
            for k, dimension in enumerate(files):
                mos[dimension] = make_score(3 * p + m + k, 17, 72)
                record = {"video": f"/home/authors/G1/{method}/{name}"}
                record |= {"id": f"{name}->{mos[dimension]}", "conversations": "Rate it."}
                lines.setdefault((dimension, part), []).append(json.dumps(record))
            columns = {"method": method, "image_id": name[:-4], "split": part}
            made.append(Made(f"G1/{method}/{name}", dict(mos), columns))
    for (dimension, part), rows in lines.items():
        (folder / f"{files[dimension]}_{part}.jsonl").write_text("\n".join(rows) + "\n")
    return made


@maker
def aigve_60k(folder: Path) -> list[Made]:
    made = []
    records: dict[tuple[str, str], list[dict[str, object]]] = {}
    for p in range(8):
        part = "test" if p > 5 else "train"
        for m, method in enumerate(("Allegro", "Open-Sora", "sora")):
            path = f"Videos300/{method}/{10001 + p}.mp4"
            mos = {
                d: make_score(3 * p + m + 5 * k)
                for k, d in enumerate(("perception", "correspondence"))
            }
            for dimension, score in mos.items():
                record = {"video": path, "mos": score, "conversations": [{"from": "human"}]}
                records.setdefault((dimension, part), []).append(record)
            columns = {"method": method, "image_id": f"{10001 + p}", "split": part}
            made.append(Made(path, dict(mos), columns))
    for (dimension, part), rows in records.items():
        (folder / f"{dimension}_{part}.json").write_text(json.dumps(rows))
    return made


@maker
def gaia(folder: Path) -> list[Made]:
    scenes = {
        "Abseiling": "A man abseils.",
        "Arranging Flowers": "A girl arranges daisies, slowly.",
        "Archery": "A woman draws a bow.",
        "Baking Cookies": "Two children bake cookies.",
        "Juggling": "A clown juggles.",
    }
    names = ("subject_quality", "action_completeness", "action_scene_interaction")
    made, lines = [], []
    for p, action in enumerate(scenes):
        for m, method in enumerate(("Anmidiff", "Gen-2", "ZeroScope", "Pika")):
            mos = {d: make_score(4 * p + m + k) for k, d in enumerate(names)}
            lines.append(" | ".join([f"{method}_{action}.mp4", *map(str, mos.values())]))
            columns = {"method": method, "image_id": action, "prompt": scenes[action]}
            made.append(Made(f"videos/{method}_{action}.mp4", dict(mos), columns))
    (folder / "MOS.csv").write_text("\n".join(lines) + "\n")
    rows = ["Action;Scene", *(f"{action};{scene}" for action, scene in scenes.items())]
    (folder / "prompts_all.csv").write_text("\n".join(rows) + "\n")
    return made


@maker
def hveval(folder: Path) -> list[Made]:
    made = []
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for p in range(7):
        part = "test" if p > 4 else "train"
        for m, method in enumerate(("AnimateDiff-Lightning", "Kling", "Sora")):
            content = f"activity_{'basic' if p % 2 else 'complex'}_{p}"
            names = ("spatial", "temporal", "correspondence")
            mos = {d: make_score(3 * p + m + k) for k, d in enumerate(names)}
            name = f"{method}_{content}.mp4"
            lines[part].append(",".join([name, *map(str, mos.values()), "yes" if p else "no"]))
            columns = {"method": method, "image_id": content, "split": part}
            made.append(Made(f"{part}/videos/{name}", dict(mos), columns))
    for part, rows in lines.items():
        (folder / part).mkdir()
        (folder / part / "labels.txt").write_text("\n".join(rows) + "\n")
    return made


@maker
def gen3dhf(folder: Path) -> list[Made]:
    made, records = [], []
    for number in range(463, 483):
        mos = {"quality": make_score(number), "authenticity": make_score(number + 1)}
        scores = {"Quality": str(mos["quality"]), "Authenticity": str(mos["authenticity"])}
        records.append({"Filename": f"seed{number:04d}.mp4", **scores})
        made.append(Made(f"seed{number:04d}.mp4", dict(mos), {"method": "unknown"}))
    (folder / "gen3dhf.json").write_text(json.dumps(records))
    return made
