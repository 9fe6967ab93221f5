"""The patterns of published file names against names that follow the published rules.

A rule with finitely many names is checked on all of them; numbers, words and identifiers without an end
are drawn. A name is made of its fields, and the pattern must find the same fields again.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

DATASETS = Path(__file__).parents[2] / "config" / "datasets"
Fields = dict[str, str]
#: Where a video may lie below the folder, and how its suffix may be written.
FOLDERS = ("", "train/", "my videos/part 1/")
NUMBERS = st.integers(0, 10**11).map(str)
HEX = st.text("0123456789abcdef", min_size=4, max_size=4)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9)


@cache
def read_pattern(name: str) -> re.Pattern[str]:
    config = yaml.safe_load((DATASETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return re.compile(config["import"]["pattern"])


def check_names(
    name: str, names: Iterable[tuple[str, Fields]], folders: Iterable[str] = FOLDERS
) -> int:
    """Check that the pattern finds the fields of every name; return the number of names."""
    pattern, count = read_pattern(name), 0
    for file_name, fields in names:
        stem, _, suffix = file_name.rpartition(".")
        for folder in folders:
            for path in (f"{folder}{file_name}", f"{folder}{stem}.{suffix.upper()}"):
                match = pattern.fullmatch(path)
                assert match, path
                assert {k: v for k, v in match.groupdict().items() if v} == fields, path
        count += 1
    return count


def test_t2vqa_db() -> None:
    names = (
        (
            f"{number:05d}_{code:02d}.mp4",
            {"sample_id": f"{number:05d}_{code:02d}", "method": f"{code:02d}"},
        )
        for number, code in itertools.product(range(10_000), range(10))
    )
    assert check_names("t2vqa_db", names, [""]) == 100_000
    assert not read_pattern("t2vqa_db").fullmatch("0000_07.mp4")


@settings(max_examples=25, deadline=None)
@given(st.uuids().map(str), st.sampled_from("ABCDE"))
def test_vquala2025(uuid: str, letter: str) -> None:
    check_names("vquala2025", [(f"{letter}_{uuid}.mp4", {"method": letter, "image": uuid})])
    assert not read_pattern("vquala2025").fullmatch(f"F_{uuid}.mp4")


T2VEVAL_METHODS = (
    "Dreamina Gen-3 KLing Luma Open_sora Pika PixVerse Pixeling Show1 Sora Typemovie Vega_Al "
    "Videocrafter"
)


@settings(max_examples=25, deadline=None)
@given(st.lists(WORDS, min_size=1), st.sampled_from("-_ +"))
def test_t2veval_bench(words: list[str], sign: str) -> None:
    key = sign.join(words)
    names = ((f"{m}+{key}.mp4", {"method": m, "image": key}) for m in T2VEVAL_METHODS.split())
    assert check_names("t2veval_bench", names) == 13


THQA_METHODS = "ahead dinet dreamtalk iplap mkittalk sad vidtalk wavlip"


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.sampled_from(["en", "cn", "fr"]))
def test_thqa(number: str, language: str) -> None:
    clip = f"voice_{language}_{number}"
    names = (
        (
            f"{image}_{clip}_{m}.mp4",
            {"image": str(image), "clip": clip, "language": language, "method": m},
        )
        for image, m in itertools.product(range(1, 21), THQA_METHODS.split())
    )
    assert check_names("thqa", names, [""]) == 160


TEXT_TO_IMAGE = "dalle3 fooocus proteus opendalle11 sd3 mid kandinsky idea sd1 flux sd21 sd15"
TALKERS = (
    "wavlip dreamtalk iplap talklip styleheat makeittalk audio2head emogen sadtalker musetalk eat "
    "dinet echomimic videotalk"
)
DISTORTIONS = [
    *(f"{side}_lead_{seconds}" for side in ("audio", "video") for seconds in ("0.5", "1")),
    *(f"pause_{where}_{seconds}" for where in ("start", "middle") for seconds in (1, 2)),
    *(f"qp_level_{level}" for level in range(6, 10)),
    *(f"qt_level_{level}" for level in range(4, 8)),
    *(f"stream_level_{level}" for level in (-2, -1, 1, 2)),
]


@settings(max_examples=25, deadline=None)
@given(NUMBERS)
def test_thqa_ntire_like_thqa_10k(number: str) -> None:
    clip = f"common_voice_en_{number}"
    names = (
        (
            f"{n}_{source}_{clip}_{talker}.mp4",
            {
                "image": f"{n}_{source}",
                "image_source": source,
                "clip": clip,
                "language": "en",
                "method": talker,
            },
        )
        for n, source, talker in itertools.product(
            range(1, 15), TEXT_TO_IMAGE.split(), TALKERS.split()
        )
    )
    assert check_names("thqa_ntire", names, [""]) == 14 * 12 * 14


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.integers(10**6, 10**9 - 1).map(str), st.lists(WORDS, min_size=1, max_size=9))
def test_thqa_ntire_like_thqa_and_thqa_3d(number: str, head: str, words: list[str]) -> None:
    clip = f"voice_en_{number}"
    names = (
        (f"{n}_{clip}_{m}.mp4", {"image": str(n), "clip": clip, "language": "en", "method": m})
        for n, m in itertools.product(range(1, 21), THQA_METHODS.split())
    )
    assert check_names("thqa_ntire", names) == 160
    sentence = "_".join(["SEN", *words])
    names = (
        (f"{head}_{sentence}_{level}.mp4", {"image": head, "clip": sentence, "method": level})
        for level in DISTORTIONS
    )
    assert check_names("thqa_ntire", names) == 20


def test_cvd2014() -> None:
    scenes = ("City", "Newspaper", "Talking", "Traffic", "Old Town_2")
    names = (
        (
            f"Test{t}/{scene}/Test{t:02d}_{scene}_D{device:02d}.avi",
            {"clip": f"Test{t}/{scene}", "image": scene, "method": f"D{device:02d}"},
        )
        for t, scene, device in itertools.product(range(1, 7), scenes, range(1, 17))
    )
    assert check_names("cvd2014", names) == 480


YOUTUBE_CATEGORIES = (
    "Animation CoverSong Gaming HDR HowTo Lecture LiveMusic LyricVideo MusicVideo NewsClip Sports "
    "TelevisionClip VerticalVideo Vlog"
)


@settings(max_examples=25, deadline=None)
@given(HEX, st.sampled_from([360, 480, 720, 1080, 2160]))
def test_youtube_ugc(digits: str, lines: int) -> None:
    names = (
        (
            f"{c}_{lines}P-{digits}{end}.mp4",
            {"sample_id": f"{c}_{lines}P-{digits}", "image_category": c},
        )
        for c, end in itertools.product(YOUTUBE_CATEGORIES.split(), ("", "_crf_10_ss_00_t_20.0"))
    )
    assert check_names("youtube_ugc", names) == 28


@settings(max_examples=25, deadline=None)
@given(NUMBERS)
def test_konvid_1k(number: str) -> None:
    ends = ("", "_original_centercrop_960x540_8s")
    check_names("konvid_1k", ((f"{number}{end}.mp4", {"sample_id": number}) for end in ends))


def test_live_vqc() -> None:
    names = (
        (f"{letter}{number:03d}.mp4", {"sample_id": f"{letter}{number:03d}"})
        for letter, number in itertools.product("ABCDEFGHIJKLMNOPQRSTUVWXYZ", range(1, 1000))
    )
    assert check_names("live_vqc", names, ["", "Video/"]) == 26 * 999


AIGVQA_METHODS = (
    "floor33 VideoFusion Lavie Gen-2 LVDM VideoCrafter Genmo Moonvalley Hotshot-XL sora Tune-A-Video "
    "Text2Video-Zero"
)


@pytest.mark.parametrize("name", ["aigvqa_db", "aigve_60k"])
def test_methods_as_folders(name: str) -> None:
    names = (
        (f"{method}/{number:06d}.mp4", {"method": method, "image": f"{number:06d}"})
        for method, number in itertools.product(AIGVQA_METHODS.split(), range(100_000, 101_048))
    )
    assert check_names(name, names, ["G1/"]) == 12 * 1048


def test_yt_ntu_avq() -> None:
    names = (
        (
            f"{category}_{number}.mp4",
            {"sample_id": f"{category}_{number}", "image_category": category},
        )
        for category, number in itertools.product(("Animation", "Gaming", "Vlog"), range(1, 541))
    )
    assert check_names("yt_ntu_avq", names) == 1620


@settings(max_examples=25, deadline=None)
@given(st.lists(WORDS, min_size=1), st.sampled_from(["Anmidiff", "Gen-2", "ZeroScope"]))
def test_gaia(words: list[str], method: str) -> None:
    action = " ".join(words).capitalize()
    check_names("gaia", [(f"{method}_{action}.mp4", {"method": method, "image": action})])


@settings(max_examples=25, deadline=None)
@given(WORDS, st.sampled_from(["basic", "complex"]), NUMBERS)
def test_hveval(category: str, level: str, number: str) -> None:
    image = f"{category}_{level}_{number}"
    fields = {"method": "AnimateDiff-Lightning", "image": image}
    check_names("hveval", [(f"AnimateDiff-Lightning_{image}.mp4", fields)])


def test_fetv() -> None:
    methods = ("cogvideo", "text2video-zero", "modelscope-t2v", "zeroscope")
    names = (
        (f"{m}/videos/{n}.{'gif' if m == 'cogvideo' else 'mp4'}", {"method": m, "image": str(n)})
        for m, n in itertools.product(methods, range(619))
    )
    assert check_names("fetv", names, ["datas/videos/"]) == 2476


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_characters="/\0\n\r", exclude_categories=["Cs"]), min_size=1))
def test_lgvq(prompt: str) -> None:
    check_names("lgvq", [(f"hotshot/{prompt}.mp4", {"method": "hotshot", "prompt": prompt})])
