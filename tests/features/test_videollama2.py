"""The adapter of VideoLLaMA2 and its script, against a stand-in package with the official names."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from sfqa.errors import UnusableError, UserError
from sfqa.features.base import Video
from sfqa.features.extractors import videollama2
from sfqa.features.extractors.videollama2 import Extractor
from sfqa.features.weights import Program, Weights
from sfqa.options import merge_options

# Functions of the official package by their names and arguments; they record how they were called.
PACKAGE = {
    "__init__.py": '''
import json, os
from pathlib import Path

home = Path(os.environ["SFQA_STANDIN_HOME"])


class Numbers(list):
    shape = property(lambda self: len(self))
    half = cuda = long = lambda self: self
    unsqueeze = lambda self, axis: self
    ne = lambda self, value: self


class Model:
    def generate(self, inputs, **settings):
        assert settings["do_sample"] is False and settings["max_new_tokens"] == 1
        assert settings["images"][0][1] == "video" and set(settings["images"][0][0]) == {"video", "audio"}
        record({"levels": inputs[0]})
        logits = [0.0] * 100
        logits[10] = 99.0 if "audio" in inputs[0] else 0.0
        return type("Output", (), {"logits": [[logits]]})


class Tokenizer:
    pad_token_id, eos_token_id = 0, 1

    def __call__(self, text, add_special_tokens):
        words = [" excellent", " good", " fair", " poor", " bad"]
        ids = [10 + words.index(text)] if text in words else list(range(len(text.split())))
        return type("Tokens", (), {"input_ids": ids})

    def apply_chat_template(self, message, tokenize, add_generation_prompt):
        return "<user>" + message[0]["content"] + "<assistant>"


def record(facts):
    with open(home / "calls.jsonl", "a") as calls:
        calls.write(json.dumps(facts) + "\\\\n")


def model_init(model_path=None, **loading):
    settings = json.loads((Path(model_path) / "config.json").read_text())
    assert Path(settings["mm_vision_tower"], "config.json").is_file()
    assert Path(settings["mm_audio_tower"]).is_file() and (Path(model_path) / "weights.bin").is_file()
    record({"model": Path(model_path).name, "loading": loading, **settings})
    video = lambda path, va: {"video": Numbers(), "audio": Numbers([Path(path).read_text()])} if va else None
    return Model(), {"video": video}, Tokenizer()


def mm_infer(inputs, instruct, model, tokenizer, modal="video", **settings):
    record({"prompt": instruct, **settings})
    assert modal == "video"
    return inputs["audio"][0]
''',
    "constants.py": 'DEFAULT_VIDEO_TOKEN = "<video>"\n',
    "mm_utils.py": '''
from videollama2 import Numbers


def load_audio_from_video(file, sr=16000):
    if "no track" in open(file).read():
        raise RuntimeError("Failed to load audio")


def tokenizer_multimodal_token(prompt, tokenizer, token, return_tensors=None):
    return Numbers([prompt])
''',
}  # fmt: skip

ANSWERS = {
    "a": "Visual quality: 80, audio-visual consistency: 65.5.",
    "b": "The video looks good!",
    "c": "no track",
    "d": "Visual quality: 101, audio-visual consistency: 5",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "VideoLLaMA2.1-7B-AV"
    package = folder / "repo/videollama2"
    package.mkdir(parents=True)
    for name, text in PACKAGE.items():
        (package / name).write_text(text.replace("\\\\n", "\\n"))
    for name in ("VideoLLaMA2.1-7B-AV", "siglip-so400m-patch14-384"):
        weights = folder / "repo/checkpoints" / name
        weights.mkdir(parents=True)
        settings = {"mm_vision_tower": "google/siglip", "mm_audio_tower": "x/audio_tower.bin"}
        (weights / "config.json").write_text(json.dumps(settings))
        (weights / "audio_tower.bin").write_bytes(b"")
        (weights / "weights.bin").write_bytes(b"")
    python = folder / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setenv("SFQA_STANDIN_HOME", str(folder))
    return folder


@pytest.fixture
def videos(tmp_path):
    for name, answer in ANSWERS.items():
        (tmp_path / f"{name}.mp4").write_text(answer)
    return [Video(n, tmp_path / f"{n}.mp4", n, 25.0, 25, tmp_path / f"{n}.wav") for n in ANSWERS]


def make_extractor(home: Path, **options):
    program = Program("VideoLLaMA2.1-7B-AV", home, "checkpoints", 0.5, home / "work/m/0")
    merged = merge_options(options, videollama2.OPTIONS, "options")
    return Extractor(merged, Weights("official", "x", program=program), "cuda:0")


def read_calls(home: Path) -> list[dict]:
    return [json.loads(line) for line in (home / "calls.jsonl").read_text().splitlines()]


def test_answers_levels_and_their_failures(home, videos):
    first, second, third, fourth = make_extractor(home).score(videos)
    assert (first["visual_quality"], first["audio_visual_consistency"]) == (80, 65.5)
    assert first["answer"] == ANSWERS["a"]
    assert first["levels"].shape == (2, 5)
    assert first["visual_quality_expected"] == 3.0
    assert first["audio_visual_consistency_expected"] == pytest.approx(5.0)
    assert str(second).startswith('wrong_template: the answer "The video looks good!"')
    assert str(third).startswith("silent: the model cannot read the sound (RuntimeError")
    assert str(fourth).startswith("outside_scale: ")
    calls = read_calls(home)
    # One process loads the model once; the towers are those in the repository.
    assert [call["model"] for call in calls if "model" in call] == ["VideoLLaMA2.1-7B-AV"]
    assert calls[0]["mm_vision_tower"] == "checkpoints/siglip-so400m-patch14-384"
    assert calls[0]["loading"] == {}
    assert calls[1]["do_sample"] is False
    assert calls[1]["prompt"].endswith("consistency: <number>")
    assert calls[2]["levels"].startswith("<user><video>\nHow would you rate the visual quality")
    assert calls[2]["levels"].endswith("<assistant>The visual quality of the video is")


def test_an_answer_as_long_as_the_limit_may_lack_digits(home, videos):
    (row,) = make_extractor(home, scoring="answer", max_new_tokens=7).score(videos[:1])
    assert str(row).startswith('cut: the answer "Visual quality: 80')
    (row,) = make_extractor(home, scoring="answer", max_new_tokens=8).score(videos[:1])
    assert row["visual_quality"] == 80


def test_one_way_of_scoring_and_other_weights(home, videos):
    (row,) = make_extractor(home, scoring="levels", load="8bit").score(videos[:1])
    assert row["answer"] is None
    assert math.isclose(row["visual_quality_expected"], 3.0)
    assert read_calls(home)[0]["loading"] == {"load_8bit": True}
    assert not any("prompt" in call for call in read_calls(home))


def test_what_is_refused_before_the_model_is_asked(home, videos):
    extractor = make_extractor(home)
    with pytest.raises(UnusableError, match="silent: the video has no sound"):
        extractor.reader.prepare(Video("s", videos[0].path, "s", 25.0, 25))
    with pytest.raises(UserError, match="runs on a GPU only"):
        Extractor(extractor.options, extractor.weights, "cpu")
