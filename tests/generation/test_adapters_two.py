"""EchoMimic, Sonic, Hallo3, SkyReels-A1, FantasyTalking, DICE-Talk: what is run, what is found."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sfqa import media
from sfqa.errors import UserError
from sfqa.generation import adapters
from sfqa.generation.adapters import fantasytalking, hallo3, sonic
from sfqa.generation.generator import Item, Run
from sfqa.options import merge_options

STANDINS = Path(__file__).parent / "standins"
ENVIRONMENTS = Path(__file__).parents[2] / "workflow" / "envs" / "generators"

#: Label: adapter, official weights folder.
SIX = {
    "EchoM": ("echomimic", "pretrained_weights"),
    "sonic": ("sonic", "checkpoints"),
    "hallo3": ("hallo3", "pretrained_models"),
    "SkyR": ("skyreels", "pretrained_models"),
    "fantasy": ("fantasytalking", "models"),
    "DICE": ("dicetalk", "checkpoints"),
}
each = pytest.mark.parametrize("label", SIX)


def adapter(label):
    return adapters.load(SIX[label][0])


def options_of(label, **given):
    known = adapter(label).OPTIONS
    return merge_options(given, known, "test")


def run_of(label, folder="/w", count=1, seed=7, said="", sec=6.0, **options):
    """A run over `count` pairs below a folder; nothing is written. `said`: the pairs' prompt."""
    work, cwd = Path(folder) / "work", Path(folder) / "repo"
    items = []
    for n in range(count):
        image, audio = work / "in" / f"i{n}.png", work / "in" / f"a{n}.wav"
        items.append(Item(f"s{n}", image, audio, sec, said, work / "out" / f"o{n}.mp4"))
    python, values = Path("/env/bin/python"), options_of(label, **options)
    return Run(tuple(items), cwd, cwd / SIX[label][1], work, python, seed, values)


def command(label, **options):
    return adapter(label).GENERATOR.build_command(run_of(label, **options))


def config(label, folder, **options):
    """The run, and the one file that is written for it."""
    run = run_of(label, folder, **options)
    run.work.mkdir(parents=True)
    adapter(label).GENERATOR.prepare(run)
    (path,) = run.work.iterdir()
    return run, path


# --- commands, by hand from the facts -----------------------------------------------------------

ECHO = "-u infer_audio2vid.py --config /w/work/animation.yaml --seed 7 -W 512 -H 512 --device cuda"
SONIC = "demo.py /w/work/in/i0.png /w/work/in/a0.wav /w/work/out/o0.mp4"
HALLO = (
    "hallo3/sample_video.py --base ./configs/cogvideox_5b_i2v_s2.yaml ./configs/inference.yaml "
    "--seed 7 --input-file /w/work/input.txt --output-dir /w/work"
)
SKY = "--image_path /w/work/in/i0.png --driving_audio_path /w/work/in/a0.wav --output_path /w/work"
FANTASY = (
    "infer.py --image_path /w/work/in/i0.png --audio_path /w/work/in/a0.wav --output_dir /w/work "
    "--prompt 'A woman is talking.' --seed 7 --wan_model_dir /w/repo/models/Wan2.1-I2V-14B-720P "
    "--fantasytalking_model_path /w/repo/models/fantasytalking_model.ckpt "
    "--wav2vec_model_dir /w/repo/models/wav2vec2-base-960h"
)
DICE = (
    "demo.py --image_path /w/work/in/i0.png --audio_path /w/work/in/a0.wav "
    "--emotion_path examples/emo/neutral.npy --output_path /w/work/out/o0.mp4 --seed 7"
)
COMMANDS = [
    ("EchoM", {}, ECHO), ("EchoM", {"count": 3}, ECHO),
    ("EchoM", {"steps": 20, "cfg": 3}, f"{ECHO} --steps 20 --cfg 3"),
    ("sonic", {}, SONIC), ("sonic", {"seed": 99}, SONIC),
    ("sonic", {"dynamic_scale": 1.5}, f"{SONIC} --dynamic_scale 1.5"),
    ("hallo3", {}, HALLO), ("hallo3", {"count": 4, "said": "A man hums."}, HALLO),
    ("SkyR", {}, f"inference_audio_long_video.py {SKY}"),
    ("SkyR", {"script": "short"}, f"inference_audio.py {SKY}"),
    # 6 s at 23 fps are 138 frames; 4 * 34 + 5 = 141
    ("fantasy", {}, f"{FANTASY} --max_num_frames 141"),
    ("fantasy", {"max_num_frames": 81}, FANTASY),
    ("fantasy", {"max_num_frames": 101}, f"{FANTASY} --max_num_frames 101"),
    ("fantasy", {"max_num_frames": 81, "num_persistent_param_in_dit": 7_000_000_000},
     f"{FANTASY} --num_persistent_param_in_dit 7000000000"),
    ("fantasy", {"max_num_frames": 81, "said": "He hums."}, FANTASY.replace("A woman is talking", "He hums")),
    ("fantasy", {"max_num_frames": 81, "prompt": "Two."}, FANTASY.replace("A woman is talking", "Two")),
    ("DICE", {}, DICE), ("DICE", {"emotion": "happy"}, DICE.replace("neutral", "happy")),
    # 0 means "no seed" there, and its configuration's own is used
    ("DICE", {"seed": 0}, DICE.replace("--seed 7", "--seed 72589")),
    ("DICE", {"ref_scale": 2, "emo_scale": 4.5}, f"{DICE} --ref_scale 2 --emo_scale 4.5"),
]  # fmt: skip


@pytest.mark.parametrize(("label", "options", "words"), COMMANDS)
def test_command(label, options, words):
    assert command(label, **options) == ["/env/bin/python", *shlex.split(words)]


@pytest.mark.parametrize("frames", [80, 82, 83, 1, 4])
def test_fantasytalking_refuses_what_is_not_one_more_than_a_multiple_of_four(frames):
    with pytest.raises(UserError, match="max_num_frames"):
        command("fantasy", max_num_frames=frames)


def test_dicetalk_refuses_an_emotion_without_a_file():
    with pytest.raises(UserError, match="did you mean 'happy'"):
        command("DICE", emotion="hapy")


# --- the facts, filled by plain replacement -----------------------------------------------------


@pytest.fixture(scope="module")
def facts(shared_data):
    text = (shared_data.parent / "reference" / "generators.yaml").read_text(encoding="utf-8")
    return {entry["label"]: entry for entry in yaml.safe_load(text)["methods"]}


def fill(text, run, prompt):
    item = run.items[0]
    values = {
        "repo": run.cwd, "image": item.image, "audio": item.audio, "output": item.output,
        "workdir": run.work, "seed": run.seed, "checkpoints": run.checkpoints, "prompt": prompt,
        "emotion": "neutral",
    }  # fmt: skip
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


@pytest.mark.shared
@each
def test_command_source_and_environment_equal_the_facts(label, facts):
    entry, module = facts[label], adapter(label)
    run = run_of(label, **({"max_num_frames": 81} if label == "fantasy" else {}))
    prompt = shlex.quote(str(run.options.get("prompt", "")))
    words = shlex.split(fill(entry["command"], run, prompt))
    assert words[:3] == ["cd", "/w/repo", "&&"]
    start = next(n for n, word in enumerate(words) if word in ("python", "python3"))
    variables = dict(word.split("=") for word in words[3:start])
    assert module.GENERATOR.build_command(run) == ["/env/bin/python", *words[start + 1 :]]
    given = module.GENERATOR.build_environment(run)
    given.pop("MASTER_PORT", None)
    assert given == variables
    assert f"{entry['repo']} at {entry['commit']}," in " ".join(module.__doc__.split())


@pytest.mark.shared
@pytest.mark.parametrize("label", ["EchoM", "hallo3"])
def test_config_file_equals_the_facts(label, facts, tmp_path):
    run, path = config(label, tmp_path)
    assert str(path) == fill(facts[label]["config_path"].split(" (")[0], run, "")
    wanted = fill(facts[label]["config_file"], run, "A person is singing.")
    assert path.read_text(encoding="utf-8") == wanted


@pytest.mark.shared
@each
def test_environment_file_pins_what_the_facts_name(label, facts):
    text = (ENVIRONMENTS / f"{label}.yaml").read_text(encoding="utf-8")
    assert "http" not in text
    *packages, last = yaml.safe_load(text)["dependencies"]
    conda = dict(line.split(" =") for line in packages if " =" in line)
    for dependency in facts[label]["key_dependencies"]:
        assert "==" not in dependency or dependency in last["pip"]
    for fact, package in (("python", "python"), ("torch", "pytorch"), ("cuda", "pytorch-cuda")):
        version = str(facts[label][fact]).split()[0].split("+")[0].rstrip(",")
        if version[0].isdigit():  # not "not stated", nor a range
            assert (conda[package] + ".").startswith(version + ".")


# --- config files -------------------------------------------------------------------------------


def test_echomimic_list_of_pairs(tmp_path):
    # A quote and a backslash in the project's own folder.
    run, path = config("EchoM", tmp_path / 'a "b" \\c é', count=3)
    weights = f"{run.cwd}/pretrained_weights"
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {
        "pretrained_base_model_path": f"{weights}/sd-image-variations-diffusers/",
        "pretrained_vae_path": f"{weights}/sd-vae-ft-mse/",
        "audio_model_path": f"{weights}/audio_processor/whisper_tiny.pt",
        "denoising_unet_path": f"{weights}/denoising_unet.pth",
        "reference_unet_path": f"{weights}/reference_unet.pth",
        "face_locator_path": f"{weights}/face_locator.pth",
        "motion_module_path": f"{weights}/motion_module.pth",
        "inference_config": "./configs/inference/inference_v2.yaml",
        "weight_dtype": "fp16",
        "test_cases": {str(item.image): [str(item.audio)] for item in run.items},
    }


def test_echomimic_pairs_that_share_a_picture_stand_below_it_once(tmp_path):
    run, path = config("EchoM", tmp_path, count=2)
    one, two = run.items
    shared = replace(run, items=(one, replace(two, image=one.image)))
    adapter("EchoM").GENERATOR.prepare(shared)
    cases = yaml.safe_load(path.read_text())["test_cases"]
    assert cases == {str(one.image): [str(one.audio), str(two.audio)]}


def test_hallo3_lines(tmp_path):
    run, path = config("hallo3", tmp_path, count=2, said=" A man \n hums. ")
    assert path.read_text() == "".join(f"A man hums.@@{i.image}@@{i.audio}\n" for i in run.items)


@pytest.mark.parametrize("prompt", ["a @@ b", "ends with @", "@@", "a@@@b"])
def test_hallo3_refuses_a_prompt_that_moves_the_borders(prompt, tmp_path):
    with pytest.raises(UserError, match="s0: the prompt .* holds '@@' or ends with '@'"):
        config("hallo3", tmp_path / "a", said=prompt)
    with pytest.raises(UserError, match="Hallo3 needs one"):
        config("hallo3", tmp_path / "b", prompt=" ")


@given(st.text(st.sampled_from("ab @\n\té"), min_size=1, max_size=12))
def test_hallo3_line_holds_three_parts_or_is_refused(prompt):
    run = run_of("hallo3", said=prompt)
    item = run.items[0]
    try:
        line = hallo3._format_line(run, item)
    except UserError:
        assert "@" in prompt or not prompt.split()
    else:
        parts = [" ".join(prompt.split()), str(item.image), str(item.audio)]
        assert line.strip().split("@@") == parts


def test_hallo3_picks_a_free_port_for_each_run():
    generator, run = adapter("hallo3").GENERATOR, run_of("hallo3")
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        ports = [int(generator.build_environment(run)["MASTER_PORT"]) for _ in range(20)]
        assert taken.getsockname()[1] not in ports
        assert len(set(ports)) > 1
        free.bind(("127.0.0.1", ports[-1]))


def test_skyreels_refuses_a_work_folder_with_a_dot():
    generator = adapter("SkyR").GENERATOR
    generator.prepare(run_of("SkyR", "/w/plain"))
    with pytest.raises(UserError, match="dot in its path"):
        generator.prepare(run_of("SkyR", "/w/data.v2"))


# --- results ------------------------------------------------------------------------------------

ECHO_RIGHT = "repo/output/20261121/1107--seed_7-512x512/i0_a0_512x512_2_1107_withaudio.mp4"
#: Label: names of a first pair's results, and of what is none of it, below the run's folder.
NAMES = {
    "EchoM": (
        [ECHO_RIGHT, "repo/output/20261122/0000--seed_7-512x512/i0_a0_512x512_2_0000_withaudio.mp4"],
        [ECHO_RIGHT.replace("_withaudio", ""), ECHO_RIGHT.replace("i0_a0", "i1_a1"),
         ECHO_RIGHT.replace("i0_a0", "i0_a01"), ECHO_RIGHT.replace("2_1107", "3_1107"),
         ECHO_RIGHT.replace("seed_7", "seed_8"), ECHO_RIGHT.replace("1107_w", "1107TEMP_w")],
    ),
    "sonic": (["work/out/o0.mp4"], ["work/out/o0_noaudio.mp4", "work/out/o1.mp4", "work/o0.mp4"]),
    # The number counts within a line, as far as is known; any is taken.
    "hallo3": (
        ["work/i0-a0-seed_7/000000_with_audio.mp4", "work/i0-a0-seed_7/000001_with_audio.mp4"],
        ["work/i0-a0-seed_7/000000.mp4", "work/i0-a0-seed_8/000000_with_audio.mp4",
         "work/i0-a01-seed_7/000000_with_audio.mp4", "work/i0-a0-seed_7/i0_mask.png"],
    ),
    "SkyR": (
        ["work/i0-a0_output_audio.mp4"],
        [f"work/i0-a0_{end}.mp4" for end in ("output", "merge", "merge_audio")]
        + ["work/i0-a1_output_audio.mp4"],
    ),
    "fantasy": (
        ["work/i0_a0_20261121_235958.mp4", "work/i0_a0_20261121_235959.mp4"],
        ["work/tmp_i0_a0_20261121_235959.mp4", "work/i0_a01_20261121_235959.mp4",
         "work/i0_a0_20261121_235959.mp4.part"],
    ),
    "DICE": (["work/out/o0.mp4"], ["work/out/o0_noaudio.mp4", "work/out/o1.mp4"]),
}  # fmt: skip


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@each
def test_results_are_told_from_all_else(label, tmp_path):
    run, generator = run_of(label, tmp_path), adapter(label).GENERATOR
    assert list(generator.list_candidates(run, run.items[0])) == []
    right, wrong = ([tmp_path / name for name in names] for names in NAMES[label])
    for path in wrong:
        touch(path)
    assert list(generator.list_candidates(run, run.items[0])) == []
    for path in right:
        touch(path)
    assert list(generator.list_candidates(run, run.items[0])) == right


# --- lengths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "seconds", "options", "wanted"),
    [
        ("EchoM", 6.2, {}, 6.2), ("EchoM", 51.0, {}, 50.0),  # 1200 frames at 24 fps
        ("hallo3", 6.2, {}, 6.2), ("SkyR", 6.2, {}, 6.2),
        ("SkyR", 6.2, {"script": "short"}, 47 / 12), ("SkyR", 3.0, {"script": "short"}, 3.0),
        ("fantasy", 6.2, {}, 6.2), ("fantasy", 6.2, {"max_num_frames": 81}, 81 / 23),
        ("fantasy", 2.0, {"max_num_frames": 81}, 2.0),
        # 155 frames at 25 fps, 77 generated, 153 after doubling
        ("sonic", 6.2, {}, 153 / 25), ("DICE", 6.2, {}, 153 / 25), ("sonic", 900.0, {}, 19999 / 25),
    ],
)  # fmt: skip
def test_expected_length(label, seconds, options, wanted):
    found = adapter(label).GENERATOR.predict_sec(seconds, options_of(label, **options))
    assert found == pytest.approx(wanted, abs=1e-9)


@given(st.floats(0.1, 200))
def test_sonic_makes_an_odd_number_of_frames_within_the_clip(seconds):
    assert sonic.count_frames(seconds) % 2 == 1
    assert seconds * 25 - 3 <= sonic.count_frames(seconds) <= seconds * 25


@given(st.floats(0.1, 120), st.floats(-0.0005, 0.0005))
def test_fantasytalking_frames_cover_the_clip(seconds, staging):
    """Also where the staged sound is half a millisecond off, as rounding to samples makes it."""
    limit = int(command("fantasy", sec=seconds)[-1])
    assert limit == fantasytalking.count_frames(seconds)
    assert limit % 4 == 1
    # The script's own count under that limit, by the facts.
    made = min(int(23 * (seconds + staging) // 4) * 4 + 5, limit)
    assert made >= 23 * seconds >= limit - 5


# --- EchoMimic's sound --------------------------------------------------------------------------


def made(path, frames, sound_sec, fps=24.0):
    wave, noise = path.with_suffix(".wav"), np.random.default_rng(3)
    media.write_wave(wave, np.zeros(int(sound_sec * 16000), np.float32), 16000)
    pictures = [noise.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(frames)]
    media.write_video(path, pictures, fps, wave if sound_sec else None)
    return path


def test_echomimic_sound_is_cut_to_the_picture(tmp_path):
    run, finish = run_of("EchoM", tmp_path), adapter("EchoM").GENERATOR.finish_video
    item, raw = run.items[0], made(tmp_path / "raw.mp4", 24, 3.0)
    item.output.parent.mkdir(parents=True)
    assert finish(run, item, raw) == (item.output, "")
    cut = media.probe(item.output)
    assert cut.audio_duration_sec == pytest.approx(1.0, abs=0.07)  # a packet of AAC at 16 kHz
    np.testing.assert_array_equal(media.read_frames(item.output), media.read_frames(raw))
    fits = made(tmp_path / "fits.mp4", 24, 1.0)
    assert finish(run, item, fits) == (fits, "")
    whole = raw.read_bytes()
    raw.write_bytes(whole[: int(0.6 * len(whole))])
    with pytest.raises(media.MediaError):
        finish(run, item, raw)


# --- the stand-ins ------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "options", "words"), COMMANDS)
def test_the_standin_takes_these_arguments_and_no_others(label, options, words, tmp_path):
    """What it does with them is in test_standins.py; without weights it ends at the first file."""
    variables = {"SFQA_STANDIN_HOME": str(STANDINS), "PYTHONDONTWRITEBYTECODE": "1"}
    run = replace(run_of(label, tmp_path, **options), python=Path(sys.executable))
    given = adapter(label).GENERATOR.build_command(run)
    codes, said = [], []
    for more in ([], ["--no_such_argument"]):
        done = subprocess.run(
            [*given, *more], cwd=STANDINS / label, env=variables, capture_output=True, text=True
        )
        codes.append(done.returncode)
        said.append(done.stderr.splitlines()[-1])
    assert codes == [1, 2]
    assert "No such file" in said[0]
    assert "--no_such_argument" in said[1]
