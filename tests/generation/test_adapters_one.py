"""SadTalker, AniPortrait, V-Express, Hallo2, FLOAT, MEMO: commands, configurations, results."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sfqa import media
from sfqa.errors import UserError
from sfqa.generation import adapters
from sfqa.generation.generator import Item, Run
from sfqa.options import fill_defaults
from videos import make_video

STANDINS = Path(__file__).parent / "standins"
ADAPTERS = {
    "SadT": "sadtalker",
    "AniP": "aniportrait",
    "VExp": "vexpress",
    "hallo2": "hallo2",
    "FLOAT": "float_flow",
    "memo": "memo",
}
FOLDERS = {
    "SadT": "checkpoints",
    "AniP": "pretrained_model",
    "VExp": "model_ckpts",
    "hallo2": "pretrained_models",
    "FLOAT": "checkpoints",
    "memo": "checkpoints",
}
# Written by hand from the facts: R the repository, W the work folder, C the weights.
COMMANDS = {
    "SadT": "inference.py --driven_audio W/in/clip07.wav --source_image W/in/img03.png --result_dir W --checkpoint_dir C",
    "AniP": "-m scripts.audio2vid --config W/animation_audio.yaml -W 512 -H 512 --seed 1234",
    "VExp": "inference.py --reference_image_path W/in/img03.png --audio_path W/in/clip07.wav --output_path W/out/result.mp4 "
    "--retarget_strategy fix_face --kps_path '' --num_inference_steps 25 --seed 1234",
    "hallo2": "scripts/inference_long.py --config W/long.yaml --source_image W/in/img03.png --driving_audio W/in/clip07.wav",
    "FLOAT": "generate.py --ref_path W/in/img03.png --aud_path W/in/clip07.wav --res_video_path W/out/result.mp4 --seed 1234 "
    "--fix_noise_seed --a_cfg_scale 2 --e_cfg_scale 1 --ckpt_path C/float.pth --wav2vec_model_path C/wav2vec2-base-960h "
    "--audio2emotion_path C/wav2vec-english-speech-emotion-recognition",
    "memo": "inference.py --config W/inference.yaml --input_image W/in/img03.png --input_audio W/in/clip07.wav --output_dir W --seed 1234",
}
OTHER_OPTIONS = {
    "SadT": (
        {"size": "512", "still": 1, "enhancer": "gfpgan", "expression_scale": 1.25},
        "--size 512 --still --enhancer gfpgan --expression_scale 1.25",
    ),
    "AniP": ({"steps": 30, "cfg": 4.5, "accelerate": 1}, "--steps 30 --cfg 4.5 -acc"),
    "VExp": (
        {"audio_attention_weight": 1, "save_gpu_memory": 1},
        "--audio_attention_weight 1 --save_gpu_memory",
    ),
    "hallo2": ({"inference_steps": 20, "lip_weight": 1.5}, ""),
    "FLOAT": ({"emo": "happy", "nfe": 20, "no_crop": 1}, "--emo happy --nfe 20 --no_crop"),
    "memo": ({"inference_steps": 30, "weight_dtype": "fp16"}, ""),
}
CONFIGS = {"AniP": "animation_audio.yaml", "hallo2": "long.yaml", "memo": "inference.yaml"}
# What the stand-ins look for among the weights, as the originals would; a slash is a folder.
WEIGHTS = {
    "SadT": "checkpoints/mapping_00109-model.pth.tar checkpoints/mapping_00229-model.pth.tar "
    "checkpoints/SadTalker_V0.0.2_256.safetensors gfpgan/weights/alignment_WFLW_4HG.pth "
    "gfpgan/weights/detection_Resnet50_Final.pth",
    "AniP": "stable-diffusion-v1-5/unet/ stable-diffusion-v1-5/feature_extractor/ sd-vae-ft-mse/ image_encoder/ "
    "denoising_unet.pth reference_unet.pth pose_guider.pth motion_module.pth wav2vec2-base-960h/ audio2mesh.pt audio2pose.pt",
    "VExp": "stable-diffusion-v1-5/unet/config.json sd-vae-ft-mse/ wav2vec2-base-960h/ insightface_models/ "
    "v-express/denoising_unet.bin v-express/reference_net.bin v-express/v_kps_guider.bin v-express/audio_projection.bin "
    "v-express/motion_module.bin",
    "hallo2": "hallo2/net.pth stable-diffusion-v1-5/unet/ face_analysis/models/ motion_module/mm_sd_v15_v2.ckpt "
    "wav2vec/wav2vec2-base-960h/ audio_separator/Kim_Vocal_2.onnx sd-vae-ft-mse/",
    "FLOAT": "float.pth wav2vec2-base-960h/ wav2vec-english-speech-emotion-recognition/",
    "memo": "memo/reference_net/ memo/diffusion_net/ memo/image_proj/ memo/audio_proj/ memo/misc/face_analysis/models/ "
    "memo/misc/vocal_separator/Kim_Vocal_2.onnx sd-vae-ft-mse/ wav2vec2-base-960h/ emotion2vec_plus_large/",
}


def generator(label: str):
    return adapters.load(ADAPTERS[label]).GENERATOR


def make_run(label: str, folder: Path, items: int = 1, seconds: float = 6.2, **given) -> Run:
    """A run whose repository is a copy of the stand-in, with inputs named but not there."""
    cwd, work = folder / "repo", folder / "work"
    shutil.copytree(STANDINS / label, cwd, ignore=shutil.ignore_patterns("__pycache__"))
    (work / "in").mkdir(parents=True)
    (work / "out").mkdir()
    made = tuple(
        Item(
            f"pair{n}__{label}",
            work / "in" / f"img0{3 + n}.png",
            work / "in" / f"clip0{7 + n}.wav",
            seconds,
            "",
            work / "out" / ("result.mp4" if n == 0 else f"result{n}.mp4"),
        )
        for n in range(items)
    )
    options = fill_defaults(given, adapters.load(ADAPTERS[label]).OPTIONS)
    return Run(made, cwd, cwd / FOLDERS[label], work, Path(sys.executable), 1234, options)


def expected(text: str, run: Run) -> list[str]:
    def place(token: str) -> str:
        for letter, folder in (("W", run.work), ("C", run.checkpoints)):
            if token == letter or token.startswith(f"{letter}/"):
                return str(folder) + token[1:]
        return token

    return [place(token) for token in shlex.split(text)]


def facts(label: str, shared_data: Path) -> dict:
    text = (shared_data.parent / "reference" / "generators.yaml").read_text(encoding="utf-8")
    return next(m for m in yaml.safe_load(text)["methods"] if m["label"] == label)


def fill(template: str, run: Run) -> str:
    item = run.items[0]
    places = {
        "repo": run.cwd,
        "image": item.image,
        "audio": item.audio,
        "output": item.output,
        "workdir": run.work,
        "seed": run.seed,
        "checkpoints": run.checkpoints,
    }
    for name, value in places.items():
        template = template.replace("{" + name + "}", str(value))
    return template


def config_of(label: str, run: Run) -> dict:
    generator(label).prepare(run)
    return yaml.safe_load((run.work / CONFIGS[label]).read_text(encoding="utf-8"))


# ---------------------------------------------------------------- commands and configurations


@pytest.mark.parametrize("label", ADAPTERS)
def test_command_is_the_official_one(label: str, tmp_path: Path) -> None:
    run = make_run(label, tmp_path)
    # `-W` is an argument of AniPortrait, no place
    want = [sys.executable, *expected(COMMANDS[label], run)]
    assert generator(label).build_command(run) == want


@pytest.mark.shared
@pytest.mark.parametrize("label", ADAPTERS)
def test_command_is_that_of_the_facts(label: str, tmp_path: Path, shared_data: Path) -> None:
    run = make_run(label, tmp_path)
    folder, line = fill(facts(label, shared_data)["command"], run).split(" && ")
    assert folder == f"cd {run.cwd}"
    python, *want = shlex.split(line)
    assert python == "python"
    assert generator(label).build_command(run) == [str(run.python), *want]


@pytest.mark.parametrize("label", ADAPTERS)
def test_other_options_are_added_at_the_end(label: str, tmp_path: Path) -> None:
    given, more = OTHER_OPTIONS[label]
    run = make_run(label, tmp_path, **given)
    want = [sys.executable, *expected(COMMANDS[label], run), *shlex.split(more)]
    assert generator(label).build_command(run) == want


@pytest.mark.shared
@pytest.mark.parametrize("label", ["AniP", "memo"])
def test_configuration_is_that_of_the_facts(label: str, tmp_path: Path, shared_data: Path) -> None:
    run = make_run(label, tmp_path)
    template = facts(label, shared_data)
    assert fill(template["config_path"], run).split(" ")[0] == str(run.work / CONFIGS[label])
    assert config_of(label, run) == yaml.safe_load(fill(template["config_file"], run))


@pytest.mark.shared
def test_hallo2_changes_the_lines_of_the_facts(tmp_path: Path, shared_data: Path) -> None:
    run = make_run("hallo2", tmp_path)
    shipped = yaml.safe_load((run.cwd / "configs/inference/long.yaml").read_text(encoding="utf-8"))
    changed = yaml.safe_load(fill(facts("hallo2", shared_data)["config_file"], run))
    assert config_of("hallo2", run) == {**shipped, **changed}


def test_hallo2_keeps_what_is_shipped_at_every_depth(tmp_path: Path) -> None:
    run = make_run("hallo2", tmp_path, inference_steps=20, lip_weight=1.5)
    official = run.cwd / "configs" / "inference" / "long.yaml"
    content = yaml.safe_load(official.read_text(encoding="utf-8"))
    content["data"]["export_video"]["bitrate"] = 9
    content["wav2vec"] = None
    official.write_text(yaml.safe_dump(content), encoding="utf-8")
    config = config_of("hallo2", run)
    assert config["data"]["export_video"] == {"fps": 25, "bitrate": 9}
    assert config["wav2vec"]["features"] == "all"
    assert config["unet_additional_kwargs"] == content["unet_additional_kwargs"]
    assert config["sampler"] == "DDIM"
    assert (config["inference_steps"], config["lip_weight"]) == (20, 1.5)
    assert config["save_path"] == f"{run.work}/"
    assert config["source_image"] == str(run.items[0].image)


@pytest.mark.parametrize("text", [None, "a: [", "- only\n- a list\n"])
def test_hallo2_without_its_configuration_is_told(text: str | None, tmp_path: Path) -> None:
    run = make_run("hallo2", tmp_path)
    official = run.cwd / "configs" / "inference" / "long.yaml"
    official.unlink()
    if text is not None:
        official.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"long\.yaml.*fetch the repository of Hallo2 again"):
        generator("hallo2").prepare(run)


def test_memo_configuration(tmp_path: Path) -> None:
    run = make_run("memo", tmp_path, inference_steps=30, weight_dtype="fp16")
    weights = run.checkpoints
    assert config_of("memo", run) == {
        "resolution": 512,
        "num_generated_frames_per_clip": 16,
        "fps": 30,
        "num_init_past_frames": 16,
        "num_past_frames": 16,
        "inference_steps": 30,
        "cfg_scale": 3.5,
        "weight_dtype": "fp16",
        "enable_xformers_memory_efficient_attention": True,
        "model_name_or_path": f"{weights}/memo",
        "vae": f"{weights}/sd-vae-ft-mse",
        "wav2vec": f"{weights}/wav2vec2-base-960h",
        "emotion2vec": f"{weights}/emotion2vec_plus_large",
        "misc_model_dir": f"{weights}",
    }


def test_aniportrait_lists_every_pair_of_a_run(tmp_path: Path) -> None:
    run = make_run("AniP", tmp_path, items=3)
    first, second, third = run.items
    assert generator("AniP").batch >= 3
    shared = Item("x", first.image, third.audio, 6.2, "", third.output)
    run = Run((first, second, shared), *(getattr(run, n) for n in list(Run.__annotations__)[1:]))
    config = config_of("AniP", run)
    assert config["test_cases"] == {
        str(first.image): [str(first.audio), str(third.audio)],
        str(second.image): [str(second.audio)],
    }
    assert "pose_temp" not in config


def test_aniportrait_can_fix_the_head_pose(tmp_path: Path) -> None:
    config = config_of("AniP", make_run("AniP", tmp_path, head_pose="fixed"))
    assert config["pose_temp"] == "./configs/inference/head_pose_temp/pose_temp.npy"


# ------------------------------------------------------------------------- lengths and results


@pytest.mark.parametrize(
    ("label", "seconds", "want"),
    [
        ("SadT", 6.27, 6.24),  # 2.28 * 25 is below 57, 2.24 * 25 above 56, in floating point
        ("SadT", 2.28, 2.28),
        ("FLOAT", 6.27, 6.28),
        ("FLOAT", 2.24, 2.24),
        ("VExp", 5.31, 5.31),
        ("AniP", 5.0, 5.0),
        ("hallo2", 6.27, 6.27),
        ("memo", 6.27, 6.27),
    ],
)
def test_expected_length(label: str, seconds: float, want: float, tmp_path: Path) -> None:
    options = make_run(label, tmp_path).options
    assert generator(label).predict_sec(seconds, options) == pytest.approx(want, abs=1e-9)


def crashes(samples: int) -> bool:
    """AniPortrait's head pose at 16 kHz: chunks of 5 s, the last two joined."""
    frames = math.ceil(samples / 16000 * 30)
    chunks = list(range(0, samples, 80000))
    if len(chunks) < 2:
        return True  # chunks[-2]
    return 150 * (len(chunks) - 1) + frames % 150 < frames


LENGTHS = st.floats(0.3, 61) | st.builds(
    lambda n, d: 5 * n + d, st.integers(1, 12), st.floats(-0.1, 0.1)
)


@given(LENGTHS, st.sampled_from([16000, 22050, 48000]))
def test_aniportrait_is_never_given_a_length_that_crashes(seconds: float, rate: int) -> None:
    staged = generator("AniP").pad_sec(seconds)
    assert staged >= seconds
    assert staged - seconds <= 0.14 or seconds < 5
    length = round(staged * rate) / rate * 16000
    assert not any(crashes(n) for n in (math.floor(length) - 1, math.ceil(length) + 1))


@given(st.floats(5.05, 61).filter(lambda s: 0.05 <= s % 5 < 4.9))
def test_aniportrait_leaves_other_lengths_alone(seconds: float) -> None:
    assert generator("AniP").pad_sec(seconds) == seconds


def test_the_lengths_of_the_facts_crash() -> None:
    assert crashes(16000 * 5)
    assert crashes(16000 * 10)
    assert crashes(16000 * 10 - 16)
    assert not crashes(16000 * 7)


@pytest.mark.parametrize("label", ["SadT", "VExp", "hallo2", "FLOAT", "memo"])
def test_other_methods_are_not_padded(label: str) -> None:
    assert [generator(label).pad_sec(s) for s in (3.0, 5.0, 10.0)] == [3.0, 5.0, 10.0]


STRIPS = "repo/output/20261121/0931--seed_1234-512x512"
FILES = {
    "SadT": (
        ["work/2026_11_21_09.31.07.mp4"],
        ["work/2026_11_21_09.31.07/img03##clip07.mp4", "work/tmp_2026_11_21_09.31.07.mp4", "work/in.mp4"],
    ),
    "AniP": (
        [f"{STRIPS}/img03_clip07_512x512_3_0931.mp4"],
        [
            f"{STRIPS}/img03_clip07_512x512_3_0931_noaudio.mp4",
            f"{STRIPS}/img03_clip08_512x512_3_0931.mp4",
            f"{STRIPS}/img03_clip07_512x512_4_0931.mp4",
            f"{STRIPS.replace('1234', '1235')}/img03_clip07_512x512_3_0931.mp4",
        ],
    ),
    "VExp": (["work/out/result.mp4"], ["work/out/result-temp.mp4"]),
    "hallo2": (
        ["work/img03/merge_video.mp4"],
        ["work/img03/seg_video/img03-000001.mp4", "work/img04/merge_video.mp4"],
    ),
    "FLOAT": (["work/out/result.mp4"], ["work/tmp1234.mp4"]),
    "memo": (["work/img03_clip07.mp4"], ["work/img03_clip08.mp4", "work/tmp_img03_clip07.mp4"]),
}  # fmt: skip


@pytest.mark.parametrize("label", ADAPTERS)
def test_candidates_are_results_and_nothing_else(label: str, tmp_path: Path) -> None:
    run = make_run(label, tmp_path)
    right, wrong = FILES[label]
    for name in wrong:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(generator(label).list_candidates(run, run.items[0])) == []
    for name in right:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = generator(label).list_candidates(run, run.items[0])
    assert list(found) == [tmp_path / name for name in right]


# ------------------------------------------------------------------------------- finishing


@pytest.fixture(scope="session")
def strip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A strip of 1.5 s as AniPortrait makes them: grey panels, the third with a white rim."""
    folder = tmp_path_factory.mktemp("strip")
    frames = []
    for number in range(45):
        frame = np.zeros((516, 1544, 3), np.uint8)
        for panel, colour in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200)]):
            left = 2 + 514 * panel
            frame[2:514, left : left + 512] = colour
        frame[2:514, 1030:1542] = 255
        frame[10:506, 1038:1534] = (30, 30, 200)
        frame[100:140, 1100 + 4 * number : 1140 + 4 * number] = 255  # moves 4 pixels a frame
        frames.append(frame)
    tone = np.sin(np.arange(24000) * 0.17).astype(np.float32) * 0.5
    media.write_wave(folder / "tone.wav", tone, 16000)
    media.write_video(folder / "strip.mp4", frames, 30, folder / "tone.wav", preset="ultrafast")
    media.write_video(folder / "silent.mp4", frames[:10], 30, preset="ultrafast")
    return folder / "strip.mp4"


def test_aniportrait_takes_the_third_panel_and_the_clips_length(
    strip: Path, tmp_path: Path
) -> None:
    run = make_run("AniP", tmp_path, seconds=1.01)
    video, flaw = generator("AniP").finish_video(run, run.items[0], strip)
    assert (video, flaw) == (run.items[0].output, "")
    frames = media.read_frames(video).astype(int)
    assert frames.shape == (31, 512, 512, 3)  # 1.01 s is 30.3 frames of 30 a second
    assert media.probe(video).fps == 30
    rim = np.concatenate([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], axis=1)
    assert rim.min() > 235  # two pixels aside the grid is black
    assert np.abs(frames[:, 256, 256] - (30, 30, 200)).max() < 12
    for number in (0, 15, 30):
        bright = np.flatnonzero(frames[number, 120, 60:450].min(axis=1) > 128) + 60
        assert abs(bright[0] - (70 + 4 * number)) <= 1
    before, after = media.read_audio(strip, 16000), media.read_audio(video, 16000)
    np.testing.assert_array_equal(after[:15000], before[:15000])
    assert media.probe(video).audio_duration_sec == pytest.approx(31 / 30, abs=0.065)


def test_aniportrait_refuses_what_is_no_whole_strip(strip: Path, tmp_path: Path) -> None:
    run = make_run("AniP", tmp_path)
    small = make_video(tmp_path / "small.mp4", frames=20)
    with pytest.raises(media.MediaError, match="is 64x64; a strip .* is 1544x516"):
        generator("AniP").finish_video(run, run.items[0], small)
    broken = tmp_path / "broken.mp4"
    for source, share in ((strip, 0.6), (strip.with_name("silent.mp4"), 0.999)):
        whole = source.read_bytes()
        broken.write_bytes(whole[: int(share * len(whole))])
        assert media.probe(broken).width == 1544  # its head is whole
        with pytest.raises(media.MediaError, match="does not decode"):
            generator("AniP").finish_video(run, run.items[0], broken)
    assert not run.items[0].output.exists()


def test_a_strip_without_sound_stays_without(strip: Path, tmp_path: Path) -> None:
    run = make_run("AniP", tmp_path)
    video, _ = generator("AniP").finish_video(run, run.items[0], strip.with_name("silent.mp4"))
    assert not media.probe(video).has_audio
    assert media.read_frames(video).shape == (10, 512, 512, 3)


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    """A video of 2 s without sound, hard to encode."""
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(50)]
    media.write_video(tmp_path / "silent.mp4", frames, 25)
    return tmp_path / "silent.mp4"


def test_hallo2_gets_its_lost_sound_back(tmp_path: Path, silent: Path, clip: Path) -> None:
    run = make_run("hallo2", tmp_path)
    item = run.items[0]
    shutil.copyfile(clip, item.audio)
    video, flaw = generator("hallo2").finish_video(run, item, silent)
    assert video == item.output
    assert flaw == "sound_added: merge_video.mp4 had no sound, so the clip was added"
    np.testing.assert_array_equal(media.read_frames(video), media.read_frames(silent))
    sound, clips = media.read_audio(video, 16000), media.read_audio(clip, 16000)
    assert media.probe(video).audio_duration_sec == pytest.approx(2.0, abs=0.07)
    assert np.corrcoef(sound[:31000], clips[:31000])[0, 1] > 0.99


def test_hallo2_with_sound_is_left_alone(tmp_path: Path) -> None:
    run = make_run("hallo2", tmp_path)
    raw = make_video(tmp_path / "whole.mp4", frames=20)
    assert generator("hallo2").finish_video(run, run.items[0], raw) == (raw, "")


def test_hallo2_that_broke_off_gets_no_sound(tmp_path: Path, silent: Path, clip: Path) -> None:
    run = make_run("hallo2", tmp_path)
    shutil.copyfile(clip, run.items[0].audio)
    silent.write_bytes(silent.read_bytes()[:-300])
    with pytest.raises(media.MediaError, match="does not decode"):
        generator("hallo2").finish_video(run, run.items[0], silent)


# ------------------------------------------------------------------------------- stand-ins


def call(run: Run, argv: list[str], folder: Path, act: str = "ok", **env: str):
    everything = {
        **os.environ,
        **env,
        "SFQA_STANDIN_HOME": str(STANDINS),
        "SFQA_STANDIN_ACT": act,
        "SFQA_STANDIN_LOG": str(folder / "log"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("VIDEO", "SILENT", "STRIP", "STRIP_SILENT"):
        (folder / name).write_text(name, encoding="utf-8")
        everything[f"SFQA_STANDIN_{name}"] = str(folder / name)
    return subprocess.run(argv, cwd=run.cwd, env=everything, capture_output=True, text=True)


def ready(label: str, folder: Path, items: int = 1, seconds: float = 6.2, **given) -> Run:
    """A run with its inputs there, and placeholders for the weights."""
    run = make_run(label, folder, items, seconds, **given)
    root = run.cwd if label == "SadT" else run.checkpoints
    for name in WEIGHTS[label].split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).mkdir() if name.endswith("/") else (root / name).touch()
    for item in run.items:
        item.image.touch()
        samples = round(generator(label).pad_sec(seconds) * 16000)
        media.write_wave(item.audio, np.zeros(samples, np.float32), 16000)
    generator(label).prepare(run)
    return run


@pytest.mark.parametrize("label", ADAPTERS)
def test_a_stand_in_takes_the_command(label: str, tmp_path: Path) -> None:
    run = ready(label, tmp_path, items=2 if label == "AniP" else 1, seconds=5.0)
    done = call(run, generator(label).build_command(run), tmp_path, TMPDIR=str(run.work))
    assert done.returncode == 0, done.stderr
    for item in run.items:
        (result,) = generator(label).list_candidates(run, item)
        kind = b"STRIP" if label == "AniP" else b"VIDEO"
        assert result.read_bytes().startswith(kind)
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[1:] for line in lines] == [[i.image.stem, i.audio.stem] for i in run.items]


@pytest.mark.parametrize("label", ADAPTERS)
def test_a_stand_in_takes_no_other_argument(label: str, tmp_path: Path) -> None:
    run = ready(label, tmp_path)
    done = call(run, [*generator(label).build_command(run), "--sampler", "3"], tmp_path)
    assert done.returncode == 2
    assert "unrecognized arguments: --sampler 3" in done.stderr
    assert not (tmp_path / "log").exists()


def test_the_stand_in_of_aniportrait_crashes_as_it_does(tmp_path: Path) -> None:
    run = ready("AniP", tmp_path)
    for seconds, code in ((5.0, 1), (10.0, 1), (7.0, 0)):
        media.write_wave(run.items[0].audio, np.zeros(round(seconds * 16000), np.float32), 16000)
        done = call(run, generator("AniP").build_command(run), tmp_path)
        assert (done.returncode, "IndexError" in done.stderr) == (code, bool(code)), seconds
