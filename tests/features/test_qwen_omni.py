"""Qwen2.5-Omni against the numbers of transformers' own classes, and the traps of its processor.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_qwen_omni.py``.
"""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest
import torch

from golden_summaries import load_golden
from golden_weights import draw_song, draw_video, fill_weights
from qwen_files import save_published
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, lmm_answers, qwen_omni_net, qwen_omni_tokens
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import qwen_omni
from sfqa.features.qwen_omni_input import Reader, VideoWithSound, list_frames
from sfqa.features.weights import Weights
from videos import make_video

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "qwen_omni.json"
OFFICIAL = load_golden("qwen_omni")
RANDOM = Weights("random", "random:0")
OPTIONS = {"size": "tiny", "precision": "fp32", "max_new_tokens": 4}
ANSWER = "Visual quality: 62, audio-visual consistency: 48.5"


@cache
def build_thinker() -> qwen_omni_net.Thinker:
    """The tiny network with the goldens' weights, and a stand-in tokenizer with the golden's words."""
    model = qwen_omni_net.load_thinker(RANDOM, "tiny", "fp32", "cpu")
    with torch.no_grad():
        fill_weights(model, 0, "thinker.")
    tokenizer = qwen_omni_tokens.make_stand_in_tokenizer(OFFICIAL["words"])
    return qwen_omni_net.Thinker(model, qwen_omni_net.build_processor(tokenizer))


@pytest.fixture(scope="module")
def thinker() -> qwen_omni_net.Thinker:
    return build_thinker()


@pytest.fixture(scope="module")
def seen() -> VideoWithSound:
    frames = draw_video(0, 100, 112, 168)[OFFICIAL["arrays"]["frames"]]
    return VideoWithSound(frames, draw_song(0, 4.0, 16000).astype(np.float32) / 32768)


@pytest.fixture(scope="module")
def extractor(thinker: qwen_omni_net.Thinker) -> Any:
    made: Any = base.build_extractor("qwen_omni", OPTIONS, RANDOM, "cpu")
    made.thinker = thinker
    return made


def prepare(thinker: qwen_omni_net.Thinker, video: VideoWithSound, chat: str) -> dict[str, Any]:
    return qwen_omni_net.prepare_inputs(
        thinker.processor, chat, video.frames, video.sound, 2.0, 768 * 784
    )


def assert_values(tensor: Any, summary: dict[str, Any], atol: float) -> None:
    array = np.asarray(tensor, np.float64).ravel()
    values = array[:: summary["step"]][: len(summary["values"])]
    np.testing.assert_allclose(values, summary["values"], atol=atol)
    assert array.mean() == pytest.approx(summary["mean"], abs=atol)


def expand(run_lengths: list[int | str]) -> list[int]:
    ids: list[int] = []
    for entry in run_lengths:
        token, _, count = str(entry).partition(" x")
        ids += [int(token)] * int(count or 1)
    return ids


@torch.inference_mode()
def test_inputs_and_logits_are_those_of_the_library(
    thinker: qwen_omni_net.Thinker, seen: VideoWithSound
) -> None:
    chat = qwen_omni_net.format_chat(OFFICIAL["prompt"], OFFICIAL["prefix"])
    assert chat == OFFICIAL["chat"] + OFFICIAL["prefix"]
    inputs = prepare(thinker, seen, chat)
    assert inputs["input_ids"][0].tolist() == expand(OFFICIAL["ids"])
    arrays = OFFICIAL["arrays"]
    assert_values(inputs["pixel_values_videos"], arrays["pixel_values_videos"], 1e-6)
    assert_values(inputs["input_features"][0, :, :400], arrays["log_mel"], 1e-5)
    assert inputs["video_second_per_grid"].tolist() == [1.0]
    levels = thinker.compute_levels(inputs)
    np.testing.assert_allclose(levels, arrays["levels"], atol=1e-5)
    tolerance = OFFICIAL["file"]["tolerance"]  # of the decoder, in the golden itself
    np.testing.assert_allclose(levels, OFFICIAL["file"]["levels"], atol=tolerance)
    expected = lmm_answers.compute_expected_levels(np.array(OFFICIAL["file"]["levels"]))
    assert expected == pytest.approx(OFFICIAL["file"]["expected"], abs=1e-6)
    # The model's own call, with the logits of every token.
    logits = thinker.model(**inputs).logits[0, -1]
    assert_values(logits, arrays["logits"], 1e-5)


@torch.inference_mode()
def test_the_greedy_answer_is_that_of_the_library(
    thinker: qwen_omni_net.Thinker, seen: VideoWithSound
) -> None:
    inputs = prepare(thinker, seen, OFFICIAL["chat"])
    expected = thinker.processor.tokenizer.decode(OFFICIAL["greedy"])
    assert thinker.write_answer(inputs, 4) == (expected, True)
    assert thinker.write_answer(inputs, 4) == (expected, True)


def test_frames_are_those_that_the_library_would_choose(thinker: qwen_omni_net.Thinker) -> None:
    """Trap 1: with `fps` and without sampling the library keeps every frame."""
    from transformers.video_utils import VideoMetadata

    assert list_frames(100, 25.0, 2.0).tolist() == OFFICIAL["arrays"]["frames"]
    processor = thinker.processor.video_processor
    lengths = [*range(2, 90), 149, 150, 151, 300, 719, 2500, 20000]
    for frames, fps, rate in product(lengths, (25.0, 29.97, 60.0), (1.0, 2.0, 7.5)):
        metadata = VideoMetadata(total_num_frames=frames, fps=fps)
        chosen = processor.sample_frames(metadata, fps=rate).tolist()
        assert list_frames(frames, fps, rate).tolist() == chosen, (frames, fps, rate)


@torch.inference_mode()
def test_a_missing_track_does_not_shift_positions(
    thinker: qwen_omni_net.Thinker, seen: VideoWithSound
) -> None:
    """Traps 2 and 3: sound is announced to the model only if there is some."""
    chat = OFFICIAL["chat"] + OFFICIAL["prefix"]
    inputs = prepare(thinker, replace(seen, sound=None), chat)
    assert inputs["use_audio_in_video"] is False
    assert (inputs["input_ids"] == qwen_omni_tokens.SPECIAL_TOKENS["<|VIDEO|>"]).sum() == 560
    assert (inputs["input_ids"] == qwen_omni_tokens.SPECIAL_TOKENS["<|AUDIO|>"]).sum() == 0
    tolerance = OFFICIAL["file"]["tolerance"]
    right = thinker.compute_levels(inputs)
    np.testing.assert_allclose(right, OFFICIAL["silent"]["right"], atol=tolerance)
    wrong = thinker.compute_levels({**inputs, "use_audio_in_video": True})
    np.testing.assert_allclose(wrong, OFFICIAL["silent"]["wrong"], atol=tolerance)
    assert np.abs(right - wrong).max() > 0.2
    assert prepare(thinker, seen, chat)["use_audio_in_video"] is True


def test_another_question_about_a_video_processes_it_once(
    thinker: qwen_omni_net.Thinker, seen: VideoWithSound
) -> None:
    for video in (seen, replace(seen, sound=None)):
        first = prepare(thinker, video, qwen_omni_net.format_chat("How good\n is it? <ok>"))
        chat = OFFICIAL["chat"] + OFFICIAL["prefix"]
        expected = prepare(thinker, video, chat)
        replaced = qwen_omni_net.replace_chat(thinker.processor, first, chat)
        assert replaced.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(torch.as_tensor(replaced[name]), torch.as_tensor(value)), name


def test_late_sound_moves_its_columns_and_no_frame(
    thinker: qwen_omni_net.Thinker, seen: VideoWithSound
) -> None:
    """A column each 10 ms: sound that is .1 s late is 10 columns later, in the same tokens."""
    assert seen.sound is not None
    late = replace(seen, sound=np.r_[np.zeros(1600, np.float32), seen.sound[:-1600]])
    on_time, moved = (prepare(thinker, video, OFFICIAL["chat"]) for video in (seen, late))
    mel, moved_mel = (x["input_features"][0, :, :400].numpy() for x in (on_time, moved))
    # Apart from the edges, whose windows see silence.
    np.testing.assert_allclose(moved_mel[:, 14:390], mel[:, 4:380], atol=1e-4)
    assert not np.allclose(moved_mel[:, 4:380], mel[:, 4:380], atol=0.05)
    for name in ("input_ids", "pixel_values_videos"):
        assert torch.equal(on_time[name], moved[name])
    with torch.inference_mode():
        levels = [thinker.compute_levels(inputs) for inputs in (on_time, moved)]
    assert not np.allclose(*levels, atol=1e-4)


@torch.inference_mode()
def test_nothing_warns(
    thinker: qwen_omni_net.Thinker, seen: VideoWithSound, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 4: the library warns of keywords that it will change."""
    library = logging.getLogger("transformers")
    library.addHandler(caplog.handler)
    try:
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            # Of NumPy in the library's own lines.
            warnings.filterwarnings("ignore", message="__array__", category=DeprecationWarning)
            inputs = prepare(thinker, seen, OFFICIAL["chat"])
            thinker.write_answer(inputs, 2)
            thinker.compute_levels(inputs)
    finally:
        library.removeHandler(caplog.handler)
    assert caplog.messages == []


def test_an_answer_ends_at_the_token_of_the_end_or_is_cut(
    extractor: Any, seen: VideoWithSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = prepare(extractor.thinker, seen, OFFICIAL["chat"])
    end = qwen_omni_net.SPECIAL_TOKENS["<|im_end|>"]
    ids = torch.cat([inputs["input_ids"], torch.tensor([[220, end]])], dim=1)
    monkeypatch.setattr(extractor.thinker.model, "generate", lambda **_: ids)
    assert extractor.thinker.write_answer(inputs, 2)[1] is False
    monkeypatch.setattr(extractor.thinker.model, "generate", lambda **_: ids[:, :-1])
    assert extractor.thinker.write_answer(inputs, 1)[1] is True
    monkeypatch.setattr(extractor.thinker, "write_answer", lambda *_: (ANSWER, True))
    (row,) = extractor.score([seen])
    assert str(row).startswith("cut: the answer ")


def test_an_answer_that_does_not_follow_the_template_fails_with_its_text(
    extractor: Any, seen: VideoWithSound
) -> None:
    (row,) = extractor.score([seen])
    assert isinstance(row, UnusableError)
    assert str(row).startswith('wrong_template: the answer "')
    answer, _ = extractor.thinker.write_answer(
        prepare(extractor.thinker, seen, qwen_omni_net.format_chat(extractor.questions.prompt)), 4
    )
    assert lmm_answers.quote_answer(answer) in str(row)


def score(extractor: Any, video: VideoWithSound, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The row of a video whose answer follows the template."""
    monkeypatch.setattr(extractor.thinker, "write_answer", lambda *_: (ANSWER, False))
    (row,) = extractor.score([video])
    if isinstance(row, UnusableError):
        raise row
    return dict(row)


def test_a_row_holds_answer_numbers_and_levels(
    extractor: Any, seen: VideoWithSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = score(extractor, seen, monkeypatch)
    assert row.keys() == {f.name for f in lmm_answers.FEATURES} | {"detail"}
    assert (row["answer"], row["visual_quality"], row["audio_visual_consistency"]) == (
        ANSWER, 62.0, 48.5
    )  # fmt: skip
    assert row["levels"].shape == (2, 5)
    assert row["visual_quality_expected"] == pytest.approx(
        lmm_answers.compute_expected_levels(row["levels"][0])
    )
    assert not np.allclose(row["levels"][0], row["levels"][1])  # another question, other logits
    assert row["detail"] == ""


@pytest.mark.parametrize("scoring", ["answer", "levels"])
def test_only_what_is_scored_is_asked(
    extractor: Any, seen: VideoWithSound, monkeypatch: pytest.MonkeyPatch, scoring: str
) -> None:
    options = {**extractor.questions.options, "scoring": scoring}
    monkeypatch.setattr(extractor, "questions", lmm_answers.Questions(options))
    row = score(extractor, seen, monkeypatch)
    assert (row["answer"] is None) == (scoring == "levels")
    assert (row["levels"] is None) == (scoring == "answer")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 1 s without a track; its sound at 16 kHz, 8 kHz mono and with six channels."""
    folder = tmp_path_factory.mktemp("qwen")
    make_video(folder / "second.mp4", sound=False, side=112)
    song = draw_song(0, 1.0, 48000).astype(np.float32) / 32768
    media.write_wave(folder / "48000.wav", song, 48000)
    sound = ffmpeg.input(str(folder / "48000.wav"))
    media.run_ffmpeg(sound.output(str(folder / "8000.wav"), ar=8000, ac=1), "8000.wav")
    six = np.zeros((48000, 6), np.float32)
    six[:, 2] = song  # the centre, where voices are
    media.write_wave(folder / "six.wav", six, 48000)
    return folder


def make(files: Path, sound: str | None) -> Video:
    path = None if sound is None else files / sound
    return Video("v", files / "second.mp4", "0" * 64, 25.0, 25, path)


def count_tokens(extractor: Any, video: VideoWithSound) -> tuple[int, int]:
    ids = prepare(extractor.thinker, video, qwen_omni_net.format_chat("How?"))["input_ids"]
    names = ("<|VIDEO|>", "<|AUDIO|>")
    return tuple(int((ids == qwen_omni_tokens.SPECIAL_TOKENS[name]).sum()) for name in names)  # type: ignore[return-value]


def test_a_silent_video_is_seen_alone_and_flawed(
    extractor: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = extractor.reader.prepare(make(files, None))
    assert video.sound is None
    row = score(extractor, video, monkeypatch)
    assert row["detail"].startswith("silent: the video has no sound")


def test_a_second_of_video_has_four_frames_and_25_tokens_of_sound(
    extractor: Any, files: Path
) -> None:
    video = extractor.reader.prepare(make(files, "48000.wav"))
    assert len(video.frames) == 4
    assert np.array_equal(video.frames, media.read_frames(files / "second.mp4", [0, 6, 12, 18]))
    # Enlarged to 336x336 pixels, which is 12x12 tokens, for each two frames.
    assert count_tokens(extractor, video) == (2 * 144, 25)


def test_other_rates_and_channels_are_heard_at_16_khz_mono(extractor: Any, files: Path) -> None:
    plain = extractor.reader.prepare(make(files, "48000.wav")).sound
    assert plain.shape == (16000,)
    narrow = extractor.reader.prepare(make(files, "8000.wav")).sound
    assert len(narrow) == pytest.approx(16000, abs=2)
    assert np.corrcoef(narrow[:15990], plain[:15990])[0, 1] > 0.9
    six = extractor.reader.prepare(make(files, "six.wav")).sound
    assert six.shape == (16000,)
    # The centre reaches the mixture at a lower level and is not lost.
    assert np.corrcoef(six, plain)[0, 1] > 0.999
    assert 0.1 < six.std() / plain.std() <= 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"frames": 1}, "short: the video has 1 frame"),
        ({"frames": 400}, "broken: not all 400 frames decode"),
        ({"audio_path": Path("missing.wav")}, "broken: the sound does not decode"),
    ],
)
def test_an_unusable_video_has_a_reason(files: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        Reader(2.0).prepare(replace(make(files, "48000.wav"), **change))


def test_sound_of_milliseconds_fails_and_of_minutes_is_cut(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds, reason in ((0.03, "short: the sound lasts 0.030 s"), (310, "sound_cut: ")):
        sound = np.full(round(seconds * 16000), 0.1, np.float32)
        monkeypatch.setattr(media, "read_audio", lambda *_, sound=sound: sound)
        try:
            notes = "; ".join(Reader(2.0).prepare(make(files, "48000.wav")).notes)
        except UnusableError as error:
            notes = str(error)
        assert notes.startswith(reason)


def test_digital_silence_is_flawed(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "read_audio", lambda *_: np.zeros(16000, np.float32))
    (note,) = Reader(2.0).prepare(make(files, "48000.wav")).notes
    assert note.startswith("silent: the sound is silence")


@pytest.fixture(scope="module")
def published(
    thinker: qwen_omni_net.Thinker, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Weights]:
    model = thinker.model
    return model, save_published(tmp_path_factory.mktemp("published"), model)


def test_the_published_layout_loads_every_weight(published: tuple[Any, Weights]) -> None:
    model, weights = published
    loaded = qwen_omni_net.load_thinker(weights, "3b", "fp32", "cpu").state_dict()
    state = model.state_dict()
    assert state.keys() == loaded.keys()
    assert all(torch.equal(state[key], loaded[key]) for key in state)
    tokenizer = qwen_omni_tokens.load_tokenizer(weights.get_part("tokenizer"))
    assert tokenizer.encode(" poor") == [7852]
    half: Any = qwen_omni_net.load_thinker(weights, "3b", "bf16", "cpu")
    assert half.dtype == torch.bfloat16


def test_files_that_do_not_fit_are_sentences(
    published: tuple[Any, Weights], tmp_path: Path
) -> None:
    _, weights = published
    twice = replace(weights, parts={**weights.parts, "third_shard": weights.parts["second_shard"]})
    with pytest.raises(UserError, match=r"of 104 keys \d+ missing, .*give all three weights files"):
        qwen_omni_net.load_thinker(twice, "3b", "fp32", "cpu")
    (tmp_path / "x").write_text("no")
    broken = Weights("official", "x", tmp_path / "x")
    with pytest.raises(UserError, match="give one of the three weights files"):
        qwen_omni_net.load_thinker(replace(weights, path=broken.path), "3b", "fp32", "cpu")
    with pytest.raises(UserError, match=r"give the tokenizer\.json of"):
        qwen_omni_tokens.load_tokenizer(broken)
    with pytest.raises(UserError, match=r"int8 needs a GPU, and there is none; write bf16"):
        qwen_omni_net.load_thinker(weights, "3b", "int8", "cpu")


def write_settings(published: Weights, folder: Path, change: Any) -> Weights:
    """The files with other settings."""
    path = published.get_part("settings").path
    assert path is not None
    settings = json.loads(path.read_text())
    (folder / "settings.json").write_text(json.dumps(change(settings) or settings))
    part = Weights("official", "settings", folder / "settings.json")
    return replace(published, parts={**published.parts, "settings": part})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda x: x["thinker_config"]["text_config"].update(hidden_size=128),
            r"of 104 keys 0 missing, 0 unexpected, \d+ of another shape",
        ),
        (lambda x: [1], "holds no settings of Qwen2.5-Omni"),
        (lambda x: {"model_type": "bert"}, r"settings of Qwen2.5-Omni \(no thinker_config\)"),
        (lambda x: x.update(thinker_config={"text_config": 3}), "holds no settings of Qwen"),
    ],
    ids=["sizes", "list", "another model", "no sizes"],
)
def test_settings_that_do_not_fit_are_a_sentence(
    published: tuple[Any, Weights], tmp_path: Path, change: Any, sentence: str
) -> None:
    weights = write_settings(published[1], tmp_path, change)
    with pytest.raises(UserError, match=sentence) as raised:
        qwen_omni_net.load_thinker(weights, "3b", "fp32", "cpu")
    assert "Qwen/Qwen2.5-Omni-3B" in str(raised.value)


def test_int8_asks_for_its_packages_before_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    message = (
        r"options\.precision: int8 needs bitsandbytes and accelerate, .* run: pip install bits"
    )
    with pytest.raises(UserError, match=message):
        base.check_package("qwen_omni", {"precision": "int8"})
    base.check_package("qwen_omni", {"precision": "bf16"})


def pinned() -> dict[str, Any]:
    """Numbers of every column and choice of the extractor, for the tiny network."""
    extractor: Any = base.build_extractor("qwen_omni", OPTIONS, RANDOM, "cpu")
    thinker = build_thinker()
    extractor.thinker = qwen_omni_net.Thinker(thinker.model, thinker.processor)
    extractor.thinker.write_answer = lambda *_: (ANSWER, False)
    frames = draw_video(0, 100, 112, 168)[list_frames(100, 25.0, 2.0)]
    sound = draw_song(0, 4.0, 16000).astype(np.float32) / 32768
    (row,) = extractor.score([VideoWithSound(frames, sound)])
    numbers = [row[name] for name in ("visual_quality", "audio_visual_consistency")]
    return {
        "version": qwen_omni.VERSION,
        "levels": np.round(row["levels"], 6).tolist(),
        "expected": [row[f"{name}_expected"] for name in lmm_answers.DIMENSIONS],
        "numbers": numbers,
        "frames": list_frames(149, 29.97, 2.0).tolist(),
    }


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    for name, values in expected.items():
        np.testing.assert_allclose(computed[name], values, atol=2e-4, err_msg=message)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
