"""Small made folders in the exact published shape of every dataset of ``config/datasets``.

Names, separators, headers and quirks are those of the published files; prompts, names of contents and
scores are made up. ``make_folder(name, folder)`` writes the files and returns what a reader must find:
for each video its MOS by dimension (None: hidden) and its expected columns. The sets whose files were
not all seen are in uncertain_datasets.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io

import uncertain_datasets
from dataset_makers import MAKERS, PROMPTS, Made, make_folder, make_score, maker, write_csv

__all__ = ["MAKERS", "PROMPTS", "Made", "make_folder", "uncertain_datasets"]


@maker
def t2vqa_db(folder: Path) -> list[Made]:
    made = []
    lines = []
    for number in range(24):
        prompt = PROMPTS[number % 3] + f" {number // 12}"
        name, mos = f"{number:05d}_{number % 4:02d}.mp4", make_score(number)
        lines.append(f"{name}|{prompt}|{mos}")
        columns = {"method": f"{number % 4:02d}", "prompt": prompt, "sample_id": name[:-4]}
        made.append(Made(name, {"quality": mos}, columns))
    (folder / "info.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


@maker
def lgvq(folder: Path) -> list[Made]:
    made, lines = [], []
    dims = ("spatial_quality", "temporal_quality", "text_video_alignment")
    # The last two differ in their signs alone: their safe names would be equal.
    prompts = (*(prompt.replace('"', "'") for prompt in PROMPTS), "a map, of mp4", "a map of mp4")
    for m, method in enumerate(("gen2", "hotshot", "videofusion")):
        for p, prompt in enumerate(prompts):
            path = f"{method}/{prompt}.mp4"
            mos = {d: make_score(7 * m + 3 * p + k) for k, d in enumerate(dims)}
            lines.append(";".join([path, *map(str, mos.values())]))
            made.append(Made(f"videos/{path}", dict(mos), {"method": method, "prompt": prompt}))
    (folder / "MOS.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


@maker
def vquala2025(folder: Path) -> list[Made]:
    names = {"overall_quality": "Overall", "traditional": "Traditional", "alignment": "Alignment"}
    names |= {"aesthetic": "Aesthetic", "temporal": "Temporal"}
    made, rows = [], []
    for p in range(6):
        uuid = f"80ff3d01-45ab-5118-beb1-6535fcf26e5{p}"
        for m, letter in enumerate("ABCDE"):
            mos = {d: make_score(5 * p + m + k, 1, 5) for k, d in enumerate(names)}
            path = f"train/{letter}_{uuid}.mp4"
            prompt = f"{PROMPTS[p % 3]} {p}"
            rows.append([prompt, *mos.values(), path.removeprefix("train/")])
            columns = {"method": letter, "image_id": uuid, "prompt": prompt}
            made.append(Made(path, dict(mos), columns))
    header = ["Prompt", *(f"{name}_MOS" for name in names.values()), "video_name"]
    write_csv(folder / "train.csv", header, rows, "\r\n")
    return made


@maker
def q_eval_video(folder: Path) -> list[Made]:
    made, records = [], []
    for number in range(1, 26):
        prompt = f"{PROMPTS[number % 3]} {number % 5}"
        if number <= 20:
            mos = make_score(number, 1, 5)
            records.append({"video": f"{number}.mp4", "prompt": prompt, "gt_score": mos})
            columns = {"split": "train", "prompt": prompt, "method": "unknown"}
            made.append(Made(f"train/{number}.mp4", {"quality": mos}, columns))
        else:
            part = "val" if number < 23 else "test"
            made.append(Made(f"{part}/{number}.mp4", {"quality": None}))
    (folder / "train.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    return made


@maker
def t2veval_bench(folder: Path) -> list[Made]:
    made, lines = [], []
    for p, key in enumerate(("amalfi-coast", "a-dog", "city_night", "snow", "two-men")):
        for m, method in enumerate(("Sora", "Open_sora", "Gen-3", "Vega_Al")):
            if (p, m) != (4, 0):
                mos = make_score(4 * p + m, 0, 5)
                lines.append(f"{method}+{key}.mp4,{mos}")
                columns = {"method": method, "image_id": key}
                made.append(Made(f"{method}+{key}.mp4", {"quality": mos}, columns))
    (folder / "all_data_mos.txt").write_text("\n".join(lines) + "\n")
    return made


@maker
def fetv(folder: Path) -> list[Made]:
    folders = {"cogvideo": "cogvideo", "text2video-zero": "text2video-zero"}
    folders |= {"damo-text2video": "modelscope-t2v", "zeroscope": "zeroscope"}
    made = {}
    for rater in range(3):
        ratings = folder / "manual_eval_results" / f"human{rater}"
        ratings.mkdir(parents=True)
        for m, (label, method) in enumerate(folders.items()):
            lines = []
            for index in (3, 0, 2, 1, 4, 5):  # not in the order of the index
                scores = {d: 1 + (index + m + k + rater) % 5 for k, d in enumerate(_FETV)}
                record = {"video_id": f"video{index}", **scores, "fine-grained": {"color": 2}}
                lines.append(json.dumps({str(index): record}))
                suffix = "gif" if method == "cogvideo" else "mp4"
                path = f"datas/videos/{method}/videos/{index}.{suffix}"
                columns = {"method": method, "image_id": str(index), "prompt": _fetv_prompt(index)}
                one = made.setdefault(path, Made(path, {}, columns))
                one.ratings |= {(f"human{rater}", d): float(v) for d, v in scores.items()}
            (ratings / f"manual_eval_results_{label}.json").write_text("\n".join(lines) + "\n")
    prompts = [{"video_id": "video1", "prompt": _fetv_prompt(index)} for index in range(6)]
    (folder / "fetv_data.json").write_text("\n".join(map(json.dumps, prompts)) + "\n")
    return list(made.values())


_FETV = ("static_quality", "temporal_quality", "alignment")


def _fetv_prompt(index: int) -> str:
    return f"{PROMPTS[index % 3]} {index}"


@maker
def thqa(folder: Path) -> list[Made]:
    made, rows = [], []
    for image in range(1, 6):
        for clip in range(2):
            for method in ("ahead", "sad", "wavlip"):
                stem = f"{image}_voice_en_350{image}{clip}_{method}"
                mos = round(make_score(image * 6 + clip * 3 + len(method), 0, 5), 1)
                rows.append([stem, *(f"{make_score(k, 1, 9):.6f}" for k in range(24)), mos])
                columns = {"image_id": str(image), "clip_id": f"voice_en_350{image}{clip}"}
                columns |= {"method": method, "language": "en"}
                made.append(Made(f"{stem}.mp4", {"quality": mos}, columns))
    write_csv(
        folder / "vvmf_results_a01.csv", ["Image", *(f"f{k}" for k in range(24)), "Score"], rows
    )
    return made


@maker
def thqa_ntire(folder: Path) -> list[Made]:
    made: list[Made] = []
    rows: dict[str, list[list[Any]]] = {"train": [], "val": [], "test": []}

    def add(part: str, name: str, columns: dict[str, str]) -> None:
        mos = round(make_score(len(made), 0, 5), 1)
        rows[part].append([name, mos])
        made.append(Made(f"{part}/{name}", {"quality": mos}, {"split": part, **columns}))

    for number in range(1, 15):
        part = "test" if number > 12 else "val" if number > 10 else "train"
        for source in ("dalle3", "sd15"):
            for method in ("audio2head", "sadtalker"):
                clip = f"common_voice_en_{36000 + number}"
                name = f"{number}_{source}_{clip}_{method}.mp4"
                columns = {"image_id": f"{number}_{source}", "clip_id": clip, "method": method}
                add(part, name, {**columns, "image_source": source, "language": "en"})
    # The leak: a picture and its clip stand on both sides.
    columns = {"image_id": "1_dalle3", "clip_id": "common_voice_en_36001", "method": "eat"}
    add("val", "1_dalle3_common_voice_en_36001_eat.mp4", columns)
    for part, image in (("train", "1"), ("val", "2"), ("test", "3")):
        columns = {"image_id": image, "clip_id": f"voice_en_9{image}", "method": "audio2head"}
        add(part, f"{image}_voice_en_9{image}_ahead.mp4", columns)
        for level in ("qp_level_7", "stream_level_-2", "audio_lead_0.5"):
            sentence = "SEN_go_change_your_shoes_before_you_turn_around"
            columns = {"image_id": f"679593{image}", "clip_id": sentence, "method": level}
            add(part, f"679593{image}_{sentence}_{level}.mp4", columns)
    for part, lines in rows.items():
        text = "\r\n".join(["Video,Score", *(f"{name},{mos}" for name, mos in lines)])
        (folder / f"thqa_ntire_{part}.csv").write_text(text + ("\r\n" if part == "train" else ""))
    return made


@maker
def konvid_1k(folder: Path) -> list[Made]:
    made, lines = [], ['"flickr_id","mos"']
    for number in range(20):
        name, mos = str(3339962845 + number), make_score(number, 1, 5)
        lines.append(f"{name},{mos}")
        suffix = "_original_centercrop_960x540_8s" if number % 2 else ""
        columns = {"sample_id": name, "method": "natural"}
        made.append(Made(f"KoNViD_1k_videos/{name}{suffix}.mp4", {"quality": mos}, columns))
    (folder / "KoNViD_1k_mos.csv").write_text("\n".join(lines) + "\n")
    return made


@maker
def live_vqc(folder: Path) -> list[Made]:
    names = [f"{letter}{n:03d}.mp4" for letter in "AB" for n in range(1, 11)]
    scores = [make_score(n) for n in range(20)]
    cells = np.empty((20, 1), object)
    cells[:, 0] = names
    io.savemat(folder / "data.mat", {"video_list": cells, "mos": np.array(scores)[:, None]})
    return [
        Made(f"Video/{name}", {"quality": mos}, {"method": "natural"})
        for name, mos in zip(names, scores, strict=True)
    ]


@maker
def youtube_ugc(folder: Path) -> list[Made]:
    header = [
        "vid",
        "category",
        "resolution",
        "x_Subjects",
        "MOSFull",
        "MOSChunk00",
        "MOSChunk05",
        "MOSChunk10",
        "stdFull",
        "stdChunk00",
        "stdChunk05",
        "stdChunk10",
        "width",
        "height",
        "pixfmt",
        "framerate",
        "nb_frames",
        "bitdepth",
        "bitrate",
    ]
    made, rows = [], []
    for number in range(20):
        name, mos, sd = (
            f"Animation_1080P-01b{number % 10}",
            make_score(number, 1, 5),
            0.4 + number / 50,
        )
        name = name if number < 10 else f"Sports_2160P-4e9{number % 10}"
        category = name.partition("_")[0]
        sizes: list[Any] = [1920, 1080, "yuv420p", 29.97002997003, "NaN", "NaN", "NaN"]
        scores: list[Any] = [mos, 3.6, 3.7, 3.3, sd, 0.5, 0.6, 0.6]
        rows.append([name, category, 1080, 100 + number, *scores, *sizes])
        columns = {"sample_id": name, "image_category": category, "method": "natural"}
        path = f"{name}_crf_10_ss_00_t_20.0.mp4"
        made.append(Made(path, {"quality": mos}, columns, {"quality": sd}, 100 + number))
    write_csv(folder / "YOUTUBE_UGC_metadata.csv", header, rows)
    return made


@maker
def lsvq(folder: Path) -> list[Made]:
    header = ["name", "p1", "p2", "p3", "height", "width", "mos_p1", "mos", "frame_number"]
    made: list[Made] = []

    def make_row(name: str, part: str, *more: Any) -> list[Any]:
        mos = make_score(len(made))
        made.append(Made(f"{name}.mp4", {"quality": mos}, {"split": part, "method": "natural"}))
        return [name, "[15, 527, 421]", "[0, 1280]", "[170]", 720, 1280, 57.9, mos, 200, *more]

    rows = [
        make_row(f"yfcc-batch1/{n}", "test" if n > 20 else "train", str(n > 20), "False")
        for n in range(1, 31)
    ]
    write_csv(folder / "labels_train_test.csv", [*header, "is_test", "is_valid"], rows)
    rows = [make_row(f"ia-batch2/{n}", "test_1080p", "False") for n in range(1, 9)]
    write_csv(folder / "labels_test_1080p.csv", [*header, "is_valid"], rows)
    return made


@maker
def kvq(folder: Path) -> list[Made]:
    made, lines = [], ["filename,score"]
    for number in range(1, 21):
        mos = make_score(number, 1, 5)
        lines.append(f"train/{number:04d}.mp4,{mos}")
        made.append(Made(f"train/{number:04d}.mp4", {"quality": mos}, {"split": "train"}))
    made += [Made(f"test/{number:04d}.mp4", {"quality": None}) for number in range(1, 4)]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return made


@maker
def cvd2014(folder: Path) -> list[Made]:
    made, lines = [], []
    for t, scene in enumerate(("City", "Newspaper", "Talking", "Traffic", "Street")):
        for device in ("D01", "D02", "D09", "D12", "D16"):
            path = f"Test{t + 1}/{scene}/Test{t + 1:02d}_{scene}_{device}.avi"
            mos = make_score(5 * t + int(device[1:]))
            lines.append(f"{path}, 14.948471, 29.099967117037156, {mos}")
            columns = {"image_id": scene, "clip_id": f"Test{t + 1}/{scene}", "method": device}
            made.append(Made(path, {"quality": mos}, columns))
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    return made


@maker
def unb_avq_2018(folder: Path) -> list[Made]:
    header = (
        "refFile,testFile,Mqs,Mcs,HRC,videoDegradationType,videoCodec,videoBitrate,"
        "packetLossRate,freezingPauses,freezingLength"
    )
    made, lines = [], [header]
    for content in range(1, 7):
        for condition in ("HRC1", "HRC2", "ANC1"):
            name, mos = f"v{content:02d}_{condition.lower()}", make_score(content + len(made), 1, 5)
            lines.append(f"v{content:02d},{name},{mos},0.5,{condition},Packet-Loss,H264,800,1,0,0")
            columns = {"method": condition, "image_id": f"v{content:02d}"}
            made.append(Made(f"Experiment1/{name}.avi", {"quality": mos}, columns))
    (folder / "UnB-AVQ-2018-Experiment1.csv").write_text("\n".join(lines) + "\n")
    return made


@maker
def yt_ntu_avq(folder: Path) -> list[Made]:
    header = [
        "seq_name",
        "score_all",
        "score_v",
        "score_a",
        "av_weight",
        "std_all",
        "std_v",
        "std_a",
        "std_av_weight",
        "pretest",
        "manual_selected",
        "audio_category_id",
        "video_summary",
        "video_category_id",
        "video_class",
        "audio_class",
    ]
    made, rows = [], []
    for number in range(1, 21):
        mos = {"overall_quality": make_score(number, 1, 5), "video": make_score(number + 1, 1, 5)}
        mos["audio"] = make_score(number + 2, 1, 5)
        sd = {"overall_quality": 0.7, "video": 0.6, "audio": 0.8}
        name = f"Animation_{number}"
        words = ["A summary, with a comma.", 9, "Animation and gaming", "Speech|Music"]
        more = [47.1, *sd.values(), 15.7, 0, 0, "0|1", *words]
        rows.append([f"{name}.mp4", *mos.values(), *more])
        columns = {"sample_id": name, "image_category": "Animation", "method": "natural"}
        made.append(Made(f"{name}.mp4", dict(mos), columns, sd))
    write_csv(folder / "meta_info_YT-NTU-AVQ.csv", header, rows)
    return made


@maker
def sjtu_uav(folder: Path) -> list[Made]:
    names, scores = [f"video_{n}.mp4" for n in range(20)], [make_score(n) for n in range(20)]
    cells = np.empty((20, 1), object)
    cells[:, 0] = names
    sizes = np.tile([1920.0, 1080.0], (20, 1))
    io.savemat(
        folder / "MOS.mat", {"videoName": cells, "resolution": sizes, "MOSz": np.array(scores)}
    )
    return [
        Made(f"videos/{name}", {"quality": mos}, {"method": "natural"})
        for name, mos in zip(names, scores, strict=True)
    ]
