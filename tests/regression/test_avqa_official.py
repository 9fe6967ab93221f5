"""The recurrent audio-visual heads against numbers of their official code, and its layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from official_code import check_array, draw_song, draw_weight, read_numbers
from sfqa.features.extractors import audio
from sfqa.regression.networks.audio_maps import AudioMaps, stack_maps
from sfqa.regression.networks.avqa import GeneralAvqa, Memory, StepScores

GENERAL = read_numbers("general_avqa")["outputs"]
BLOCKS = ("p1", "p2", "p5")


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def fill_layer(layer: nn.Module, key: str) -> None:
    """Draw the weight and bias of a layer by the official key, e.g. fc1 -> fc1.weight."""
    for name in ("weight", "bias"):
        old = getattr(layer, name)
        old.copy_(draw_weight(f"{key}{name}", tuple(old.shape)))


def fill_recurrent(layer: nn.RNNBase, key: str) -> None:
    """Draw the weights of torch's own recurrent layer, whose keys are the official ones."""
    for name, old in layer.named_parameters():
        old.copy_(draw_weight(f"{key}.{name}", tuple(old.shape)))


def fill_memory(memory: Memory, key: str, out: str) -> None:
    """Draw the weights of a modality of GeneralAVQA."""
    for number in (1, 2):
        stage = f"{key}_BiL{number}"
        fill_layer(memory.stages[2 * number - 2], f"{stage}.init_linear.")
        fill_recurrent(memory.stages[2 * number - 1].lstm, f"{stage}.lstm")
    fill_layer(memory.out[0], f"{out}.")


def official_maps(widths: tuple[int, int, int], inputs: int, flat: int, width: int) -> nn.Module:
    """AF of train_pytorch.py, which has widths 32, 64, 128, 4 inputs, flat 16384, width 2048."""

    def block(before: int, after: int, kernel: tuple[int, int], pool: tuple[int, int]) -> list:
        padding = (kernel[0] // 2, kernel[1] // 2)
        return [
            nn.Conv2d(before, after, kernel, padding=padding), nn.LeakyReLU(0.01),
            nn.Conv2d(after, after, kernel, padding=padding), nn.LeakyReLU(0.01),
            nn.Conv2d(after, after, 1), nn.LeakyReLU(0.01),
            nn.BatchNorm2d(after), nn.MaxPool2d(pool),
        ]  # fmt: skip

    a, b, c = widths
    return nn.Sequential(
        *block(inputs, a, (1, 3), (1, 2)), *block(a, b, (5, 1), (4, 1)),
        *block(b, c, (5, 3), (4, 2)), nn.Flatten(),
        nn.Linear(flat, width), nn.LeakyReLU(0.01), nn.Dropout(0.5),
    )  # fmt: skip


def test_maps_of_sound_pass_the_official_layers():
    """The output is that of the official layers, batch norms and the last LeakyReLU included."""
    torch.manual_seed(0)
    ours, theirs = AudioMaps(4, 32, 8, 10, (2, 3, 4)).eval(), official_maps((2, 3, 4), 4, 16, 10)
    theirs.eval()
    layers = [layer for layer in theirs if len(list(layer.parameters()))]
    mine = [layer for layer in [*ours.blocks, *ours.out] if len(list(layer.parameters()))]
    for layer, official in zip(mine, layers, strict=True):
        if isinstance(official, nn.BatchNorm2d):
            official.running_mean.uniform_(-0.1, 0.1)
            official.running_var.uniform_(0.8, 1.2)
        layer.load_state_dict(official.state_dict())
    x = torch.randn(3, 5, 4, 32, 8)
    expected = theirs(x.flatten(0, 1)).unflatten(0, (3, 5))
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-6)
    assert (expected < 0).any()


def test_dropout_is_where_the_official_code_has_it():
    net = GeneralAvqa(6, (4, 32, 8), 1, steps=2, width=5, state=4, vector=3, channels=(2, 3, 4))
    assert net.maps is not None
    for layers, names in (
        (net.maps.out, ["Linear", "LeakyReLU", "Dropout"]),
        (net.video.out, ["Linear", "Dropout"]),
        (net.audio.out, ["Linear", "Dropout"]),
        (net.join, ["Linear", "Dropout", "ReLU", "Linear"]),
    ):
        assert [type(layer).__name__ for layer in layers] == names
    assert {layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)} == {0.5}


def test_general_avqas_video_lstm_gives_the_official_numbers():
    memory = Memory(2048, 30, 128, 8, 0.5).eval()
    fill_memory(memory, "TP", "ofc1")
    video = draw_weight("input.video", (30, 2048)).abs() * 32
    check_array(memory.stages(video[None]), GENERAL["video BiLSTM (30,128)"], 1e-6)


def test_general_avqa_from_sound_to_score_gives_the_official_numbers():
    """Maps, network and score."""
    net = GeneralAvqa(2048, (4, 128, 64), 1).eval()
    assert net.maps is not None
    convolutions = [layer for layer in net.maps.blocks if isinstance(layer, nn.Conv2d)]
    for index, layer in enumerate(convolutions):
        fill_layer(layer, f"ATD.module.{BLOCKS[index // 3]}.{2 * (index % 3)}.")
    norms = [layer for layer in net.maps.blocks if isinstance(layer, nn.BatchNorm2d)]
    for norm, block in zip(norms, BLOCKS, strict=True):
        fill_layer(norm, f"ATD.module.{block}.6.")
        norm.running_mean.copy_(
            draw_weight(f"ATD.module.{block}.6.running_mean", (len(norm.bias),))
        )
        norm.running_var.copy_(draw_weight(f"ATD.module.{block}.6.running_var", (len(norm.bias),)))
    fill_layer(net.maps.out[0], "ATD.module.p7.0.")
    fill_memory(net.video, "TP", "ofc1")
    fill_memory(net.audio, "ATP", "oAfc1")
    fill_layer(net.join[0], "fc2.")
    fill_layer(net.join[3], "fc3.")

    segments = audio.cut_segments(draw_song(8, 48000))
    maps = [audio.compute_segment_maps(segment, 48000) for segment in segments]
    inputs = {"video": draw_weight("input.video", (30, 2048)).abs()[None] * 32}
    for number, name in enumerate(("chroma_stft", "chroma_cqt", "mfcc", "gfcc")):
        flat = [torch.from_numpy(segment[name]).float().flatten() for segment in maps]
        inputs[f"audio{number}"] = torch.stack(flat)[None]
    sound = net.maps(stack_maps([inputs[f"audio{number}"] for number in range(4)], 64))
    check_array(sound, GENERAL["audio network, first video (30,2048)"], 2e-4)
    check_array(net.audio.stages(sound), GENERAL["audio BiLSTM (30,128)"], 1e-5)
    assert abs(net(inputs).item() - GENERAL["score"]) < 1e-5


def test_dnn_rnt_gives_the_official_numbers():
    net, outputs = StepScores(4096, 4096, 1).eval(), read_numbers("dnn_rnt")["outputs"]
    x = {}
    for name, stream in (("video", net.video), ("audio", net.audio)):
        fill_layer(stream.reduce, f"{name}_ann.fc0.")
        fill_recurrent(stream.gru.gru, f"{name}_rnn")
        fill_layer(stream.score[0], f"{name}_q1.")
        fill_layer(stream.score[3], f"{name}_q2.")
        x[name] = draw_weight(f"input.{name}", (24, 4096))[None] * 64
        check_array(stream.gru(stream.reduce(x[name])), outputs[f"{name} GRU"], 1e-5)
        check_array(stream(x[name]), outputs[f"{name} per-step score (24)"], 1e-5)
    for number, layer in enumerate((net.join[0], net.join[3], net.join[6]), 1):
        fill_layer(layer, f"fc{number}.")
    assert abs(net(x).item() - outputs["segment score"]) < 1e-6
