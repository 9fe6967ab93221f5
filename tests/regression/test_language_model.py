"""A language model with LoRA: scores of the extractor, steps of a plain loop, and what is stored."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from killed_training import kill_training
from language_views import COLUMNS, INPUTS, OPTIONS, SPEC, draw_blocks, merge_options, pad_views
from sfqa.errors import UserError
from sfqa.features import base, lmm_answers
from sfqa.features.qwen_omni_input import VideoWithSound
from sfqa.features.weights import Weights
from sfqa.regression import heads
from sfqa.regression.fine_tuning import qwen_omni
from sfqa.regression.fine_tuning.language_base import add_question, find_base
from sfqa.regression.fine_tuning.registry import check_branches
from sfqa.regression.fine_tuning.starts import check_start
from sfqa.regression.metrics import check_asked_dimensions
from sfqa.regression.problems import make_problem
from sfqa.regression.training_options import BASE, DISPLAY_OPTIONS, drop_display_options
from sfqa.training.trainer import Trainer

HEAD = heads.load_head("fine_tuned")
SEED = 11
#: Learning rate of the plain loop. Its loss is one whose gradient float32 does not round much:
#: PLCC compares scores that differ by .02 only.
RATE = 0.05
DIMENSIONS = ("visual_quality", "audio_visual_consistency")


def fit(folder, blocks, y, dimension=0, spec=SPEC, **changed):
    options = merge_options(spec, **changed)
    weights = {"base": options[BASE].compute_identity()}
    weights = add_question(weights, options, [DIMENSIONS[dimension]], "m")
    problem = replace(make_problem(range(len(y)), [], y, SEED), first_weights=weights)
    torch.set_num_threads(1)
    return HEAD.fit(blocks, [problem], options, folder, "cpu")


def build(**changed):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return qwen_omni.build(merge_options(**changed)).eval()


def call(network, blocks, rows=slice(None)):
    with torch.no_grad():
        return network({n: torch.from_numpy(blocks[f"qwen_omni.{n}"][rows]) for n in COLUMNS})


@pytest.fixture(scope="module")
def extractor():
    """The extractor, and three short videos of different lengths."""
    made = base.build_extractor("qwen_omni", SPEC["options"], Weights("random", "random:0"), "cpu")
    numbers = np.random.default_rng(0)
    videos = []
    for n in range(3):
        frames = numbers.integers(0, 80 * (n + 1), (2 + 2 * (n == 1), 112, 112, 3), np.uint8)
        sound = 0.2 * numbers.normal(size=16000 * (n < 2)).astype(np.float32)
        videos.append(VideoWithSound(frames, sound if len(sound) else None))
    return made, videos


@pytest.mark.thorough
def test_views_give_the_extractors_score_and_each_dimension_its_own_question(extractor):
    made, videos = extractor
    rows = list(made.score(videos))
    blocks = pad_views(rows, 400)
    network = build(tokens=400)
    expected = np.stack([lmm_answers.compute_expected_levels(row["levels"]) for row in rows])
    for dimension in range(2):
        network.question.fill_(dimension)
        scores = call(network, blocks)[:, 0].numpy()
        np.testing.assert_allclose(scores, expected[:, dimension], rtol=0, atol=1e-6)
    assert np.abs(expected[:, 0] - expected[:, 1]).min() > 5e-5
    # A row's score depends on no other row, and not on the room behind it.
    alone = call(network, pad_views(rows[:1], 500))
    assert alone.numpy()[0, 0] == scores[0]


def train_plainly(made, videos, y, first, steps, rate):
    """A loop of peft and transformers: the whole thinker reads pictures, sound and question."""
    from peft import LoraConfig, get_peft_model

    from sfqa.features.qwen_omni_net import format_chat, load_thinker, prepare_inputs

    thinker = load_thinker(Weights("random", "random:0"), "tiny", "fp32", "cpu")
    settings = LoraConfig(
        r=4, lora_alpha=16, lora_dropout=0.0,
        target_modules=r"model\.language_model\..*\.(q|k|v|o|gate|up|down)_proj",
    )  # fmt: skip
    model = get_peft_model(thinker, settings)
    prefix = "base_model.model.model.language_model."
    names = {prefix + n.removeprefix("language."): v for n, v in first.items() if ".lora_" in n}
    adapters = {k: p for k, p in model.named_parameters() if p.requires_grad}
    assert adapters.keys() == names.keys()
    with torch.no_grad():
        for name, parameter in adapters.items():
            parameter.copy_(names[name])
    chat = format_chat(made.questions.level_prompts[0], made.questions.level_prefixes[0])
    inputs = [
        prepare_inputs(made.thinker.processor, chat, v.frames, v.sound, 2.0, 602112) for v in videos
    ]
    optimizer = torch.optim.SGD(adapters.values(), lr=rate, momentum=0.9)
    target = torch.from_numpy(y).float()
    for _ in range(steps):
        # The logits of all tokens, which the library's own call returns, would take seconds.
        hidden = torch.cat([thinker.model(**x).last_hidden_state[:, -1] for x in inputs])
        logits = thinker.lm_head(hidden)[:, made.thinker.level_ids]
        scores = logits.softmax(1) @ torch.tensor([5.0, 4, 3, 2, 1])
        optimizer.zero_grad()
        ((scores - target) ** 2).mean().backward()
        optimizer.step()
    return {f"language.{k.removeprefix(prefix)}": p.detach() for k, p in adapters.items()}


@pytest.mark.thorough
def test_five_steps_give_the_adapters_of_a_plain_loop_of_peft(extractor, tmp_path):
    made, videos = extractor
    videos = [*videos, replace(videos[0], frames=255 - videos[0].frames)]
    blocks = pad_views(list(made.score(videos)), 400)
    y = np.array([1.0, 4.0, 2.5, 3.0])
    options = {"tokens": 400, "optimizer": "sgd", "epochs": 5, "loss": "mse", "mos": "as_is"}
    start = fit(tmp_path / "start", blocks, y, **options, learning_rate=0.0).state(0)
    first = {n.removeprefix("network."): torch.from_numpy(v) for n, v in start.items()}
    expected = train_plainly(made, videos, y, first, 5, RATE)
    state = fit(tmp_path / "trained", blocks, y, **options, learning_rate=RATE).state(0)
    assert len(expected) == 28
    for name, value in expected.items():
        np.testing.assert_allclose(state[f"network.{name}"], value, rtol=0, atol=1e-6)
    assert (
        max(float((value - first[n]).abs().max()) for n, value in expected.items()) > 1e-2
    )  # as far as they move


def test_only_adapters_change_and_only_they_are_stored(tmp_path, monkeypatch):
    trained = []
    end_epoch = Trainer._end_epoch
    monkeypatch.setattr(
        Trainer, "_end_epoch", lambda t: (trained.append(t.network), end_epoch(t))[1]
    )
    models = fit(tmp_path, draw_blocks(4), np.arange(4.0), epochs=1)
    network = trained[0]
    language, rows = network.source.load()
    after = {n.replace(".base_layer", ""): p for n, p in network.language.named_parameters()}
    for name, value in language.named_parameters():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    torch.testing.assert_close(network.level_rows, rows, rtol=0, atol=0)
    state = models.state(0)
    stored = {k.removeprefix("network.") for k in state if k.startswith("network.")}
    adapters = {name for name, p in network.named_parameters() if p.requires_grad}
    assert stored == adapters | {"base", "question"}
    assert all(".lora_A." in name or ".lora_B." in name for name in adapters)
    assert any(np.abs(state[f"network.{n}"]).max() > 0 for n in adapters if ".lora_B." in n)
    assert network.list_trained_tensors() == [n for n in network.state_dict() if n in adapters]
    assert "8,192 parameters of adapters beside 9,798,208" in network.describe_trained()


def test_each_dimension_learns_from_its_own_question(tmp_path):
    blocks, y = draw_blocks(4), np.arange(4.0)
    states = [fit(tmp_path / str(n), blocks, y, dimension=n).state(0) for n in range(2)]
    assert [int(state["network.question"][0]) for state in states] == [0, 1]
    name = "network.language.layers.0.self_attn.q_proj.lora_B.default.weight"
    assert np.abs(states[0][name] - states[1][name]).max() > 1e-5


@pytest.mark.parametrize("piece_rows", [2, pytest.param(0, marks=pytest.mark.thorough)])
def test_a_killed_training_ends_at_the_same_adapters_bit_for_bit(piece_rows, tmp_path):
    blocks, y = draw_blocks(6), np.arange(6.0) ** 2
    options = {"batch_rows": 3, "piece_rows": piece_rows, "lora_dropout": 0.2, "epochs": 2}
    expected = fit(tmp_path / "whole", blocks, y, **options).state(0)
    with kill_training(3):
        fit(tmp_path / "killed", blocks, y, **options)
    checkpoint = tmp_path / "killed" / "fit-0.training.pt"
    assert checkpoint.stat().st_size < 1e6  # without the language model, of 39 MB
    state = fit(tmp_path / "killed", blocks, y, **options).state(0)
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value)


def test_the_base_keeps_its_number_format_and_adapters_are_float32():
    spec = {**SPEC, "options": {**SPEC["options"], "precision": "bf16"}}
    network = qwen_omni.build(merge_options(spec)).to("cpu", torch.float64)
    for name, parameter in network.named_parameters():
        assert parameter.dtype == (torch.float32 if ".lora_" in name else torch.bfloat16)
    blocks = draw_blocks(2)
    bytes_of_half = blocks["qwen_omni.embeddings"][..., 2:].copy()  # the upper half is bf16
    scores = call(network.eval(), {**blocks, "qwen_omni.embeddings": bytes_of_half})
    exact = call(build(), blocks)
    torch.testing.assert_close(scores, exact, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "random"}, "tuned from its published weights: write checkpoint, or the path"),
        ({"start": "weights.pth"}, "a language model is tuned from its published weights"),
        ({"start": "missing.sfqa"}, "there is no file missing.sfqa"),
        ({"train": "all"}, "of the backbone qwen_omni only adapters learn; write lora"),
        ({"stages": [{"train": "head", "epochs": 1}]}, "only adapters learn; write lora"),
        ({"flip": True}, "m.options.flip: True; the backbone qwen_omni reads no pictures; leave"),
        ({"crop": 112}, "m.options.crop: 112; the backbone qwen_omni reads no pictures"),
        ({"scored_clips": 1}, "the backbone qwen_omni reads no clips; leave scored_clips out"),
    ],
)
def test_what_a_language_model_cannot_do_is_an_error_before_the_first_job(options, sentence):
    merged = heads.merge_options("fine_tuned", {**OPTIONS, **options})
    with pytest.raises(UserError, match=sentence):
        check_start(merged, INPUTS, "metric m.options.start")


def test_options_that_would_train_nothing_and_views_of_two_labels_are_errors():
    with pytest.raises(UserError, match="lora_alpha is 0; give a number of at least 1"):
        heads.merge_options("fine_tuned", {**OPTIONS, "lora_alpha": 0})
    inputs = ["qwen_omni-a.embeddings", "qwen_omni-b.places", "qwen_omni-a.questions"]
    with pytest.raises(UserError, match="the views are those of qwen_omni-a, qwen_omni-b, and a"):
        check_start(heads.merge_options("fine_tuned", OPTIONS), inputs, "metric m.options.start")
    options = {**SPEC["options"], "precision": "int8"}
    with pytest.raises(UserError, match="views: 1 does not go with precision: int8; it needs bf16"):
        base.check_option_needs("qwen_omni", base.merge_options("qwen_omni", options))


def test_other_backbones_have_no_adapters_and_do_not_depend_on_their_options():
    for part in ("lora", {"technical": "lora"}):
        with pytest.raises(UserError, match="lora is for language models, and the backbone dover"):
            check_branches("dover", [part], "m")
    kept = drop_display_options(heads.merge_options("fine_tuned", {}))
    assert not {"tokens", "lora_rank", "lora_alpha", "lora_dropout"} & kept.keys()
    for name in set(heads.list_heads()) - {"fine_tuned"}:  # UGVQ has an option tokens, too
        options = heads.merge_options(name, {})
        assert options.keys() - drop_display_options(options).keys() <= DISPLAY_OPTIONS
    kept = drop_display_options(merge_options())
    assert kept["lora_rank"] == 4
    json.dumps(kept)  # without the base, which is no part of a digest


def test_a_dimension_without_a_question_and_weights_as_whole_numbers_are_sentences():
    options = merge_options()
    with pytest.raises(UserError, match="metric m: qwen_omni asks about visual_quality and audio"):
        add_question({}, options, ["overall"], "m")
    metric = {"name": "m", "options": options, "dimensions": None}
    rated = [*DIMENSIONS, "quality"]
    with pytest.raises(
        UserError, match=r"regression\.metrics\.m: qwen_omni asks about .*'quality'"
    ):
        check_asked_dimensions([metric], [{"kind": "fixed"}], rated)
    check_asked_dimensions([{**metric, "dimensions": ["visual_quality"]}], [], rated)
    check_asked_dimensions([metric], [{"kind": "cross_dataset"}], rated)  # trains nothing
    with pytest.raises(UserError, match="precision: int8 cannot be tuned; write precision: bf16"):
        merge_options({**SPEC, "options": {**SPEC["options"], "precision": "int8"}})
    large = {**SPEC, "options": {**SPEC["options"], "size": "3b"}}
    with pytest.raises(UserError, match="blocks: reduced is for a small language model, and that"):
        merge_options(large, blocks="reduced")
    with pytest.raises(UserError, match="the weights of qwen_omni, whose language model is tuned"):
        find_base(options, INPUTS, {}, "m")
