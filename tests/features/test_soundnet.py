"""SoundNet against numbers of its PyTorch port, and the conversion of its weights.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_soundnet.py``.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from golden_weights import draw_song, fill_weights
from official_code import check_array, read_numbers
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, official, soundnet_net
from sfqa.features.base import UnusableError, Video
from sfqa.features.convert_soundnet import convert_file, main, read_pickled_array
from sfqa.features.extractors import soundnet
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "soundnet.json"
OFFICIAL = read_numbers("soundnet")
RANDOM = Weights("random", "random:0")


def build(weights: Weights = RANDOM, **options: Any) -> soundnet.Extractor:
    extractor = base.build_extractor("soundnet", options, weights, "cpu")
    assert isinstance(extractor, soundnet.Extractor)
    return extractor


@pytest.fixture(scope="module")
def filled() -> soundnet.Extractor:
    """The extractor with the weights of the goldens."""
    extractor = build()
    fill_weights(extractor.net)
    return extractor


def make_sound(seconds: float) -> media.Sound:
    song = draw_song(0, seconds, soundnet.RATE).astype(np.float32) / np.float32(32768)
    return song * soundnet.SCALE


def test_short_sound_is_repeated_as_a_whole() -> None:
    sound = make_sound(6)
    repeated = soundnet.repeat_sound(sound)
    assert len(repeated) == 4 * len(sound)
    np.testing.assert_array_equal(repeated[len(sound) : 2 * len(sound)], sound)
    exact = np.zeros(soundnet.LEAST, np.float32)
    assert soundnet.repeat_sound(exact) is exact
    assert len(soundnet.repeat_sound(exact[:-1])) == 2 * (soundnet.LEAST - 1)
    assert len(soundnet.repeat_sound(exact[: soundnet.LEAST // 2])) == soundnet.LEAST // 2 * 3


def test_the_official_layers(filled: soundnet.Extractor) -> None:
    """To 1e-4 of values up to 90, which is the rounding of float32 on different CPUs."""
    repeated = soundnet.repeat_sound(make_sound(6))
    x = torch.from_numpy(repeated)[None, None, :, None]
    outputs = OFFICIAL["outputs"]
    with torch.inference_mode():
        for layer, name in (
            ("pool2", "pool2"), ("pool5", "pool5"),
            ("conv7", "conv7 (raw, before batch norm and ReLU)"),
        ):  # fmt: skip
            columns = filled.net(x, layer)
            assert list(columns.shape) == [1, outputs[name]["shape"][2], outputs[name]["shape"][1]]
            check_array(columns.transpose(1, 2).numpy(), outputs[name], 1e-4)
        means = {"conv7": "conv7 time mean (1024)", "pool5": "pool5 time mean (256)"}
        for layer, name in means.items():
            check_array(filled.net(x, layer)[0].mean(0).numpy(), outputs[name], 1e-4)
        bare = torch.from_numpy(make_sound(6))[None, None, :, None]
        check_array(
            filled.net(bare, "pool5").transpose(1, 2).numpy(), OFFICIAL["not tiled"]["pool5"], 1e-4
        )


@pytest.mark.parametrize("layer", soundnet_net.LAYERS)
def test_columns_are_where_their_centre_is(layer: str) -> None:
    """A click in the sound changes most the column that is said to be nearest to it."""
    extractor = build(layer=layer)
    with torch.no_grad():
        for name, value in extractor.net.named_parameters():
            if name.startswith("conv"):
                value.fill_(0.1 if name.endswith("weight") else 0.0)
    grid = extractor.column_grid
    sound = np.zeros(22 * soundnet.RATE, np.float32)
    for column in (3, 7):
        clicked = sound.copy()
        clicked[round(grid[0] + column * grid[1])] = 100
        changed = np.abs(extractor.compute_columns(clicked) - extractor.compute_columns(sound))
        assert changed.sum(axis=1).argmax() == column
        time = np.array([(grid[0] + column * grid[1]) / soundnet.RATE])
        assert soundnet.select_columns(time, len(sound), *grid) == [column]


def test_steps_read_the_columns_of_the_first_repetition(filled: soundnet.Extractor) -> None:
    times = np.arange(1, 192, 2) / 25
    (row,) = filled.score([soundnet.SoundSteps(make_sound(6), times)])
    assert isinstance(row, dict)
    assert row["audio"].shape == (96, 1024)
    assert row["audio"].dtype == np.float16
    columns = filled.compute_columns(soundnet.repeat_sound(make_sound(6)))
    assert columns.shape == (17, 1024)
    used = [np.abs(columns - step).max(axis=1).argmin() for step in row["audio"].astype(float)]
    assert used == sorted(used)
    assert set(used) == {0, 1, 2, 3, 4}
    assert used.count(4) > 20  # the last one, also after the end


def write_layers(path: Path, layers: Any) -> None:
    np.save(path, np.array(layers, dtype=object), allow_pickle=True)


def draw_layers() -> dict[str, dict[str, np.ndarray]]:
    """The layers of sound8.npy, with small numbers."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for key, described in OFFICIAL["keys"].items():
        layer, name = key.split(".")
        shape = tuple(int(n) for n in described.split()[1].split("x"))
        values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 1000
        layers.setdefault(layer, {})[name] = values
    return layers


def test_the_published_file_is_converted_and_loads(tmp_path: Path) -> None:
    spec = {"weights": "official", "options": {}}
    (entry,) = official.find_official_files(official.load_registry(), "soundnet", spec).values()
    assert entry.file == "sound8.safetensors"
    assert "convert_soundnet" in entry.by_hand
    source, target = tmp_path / "sound8.npy", tmp_path / entry.file
    layers = draw_layers()
    write_layers(source, layers)
    assert main([str(source), str(target)]) == 0
    network = build(Weights("official", "0" * 64, target, keys=entry.keys)).net
    weights = layers["conv3"]["weights"]
    np.testing.assert_array_equal(network.conv3.weight.numpy()[5, 7, :, 0], weights[:, 0, 7, 5])
    np.testing.assert_array_equal(network.batchnorm2.running_var.numpy(), layers["conv2"]["var"])
    np.testing.assert_array_equal(network.batchnorm2.bias.numpy(), layers["conv2"]["beta"])
    np.testing.assert_array_equal(network.conv8_scns.bias.numpy(), layers["conv8_2"]["biases"])
    assert len(load_file(target)) == 7 * 6 + 2 * 2
    for path in (source, target):
        path.unlink()


def test_arrays_of_python_2_and_of_the_other_byte_order_are_read(tmp_path: Path) -> None:
    """Python 2 stores bytes as text; the byte order of an array is its own."""
    source = tmp_path / "sound8.npy"
    numbers = np.arange(6, dtype=">f4").reshape(2, 3)
    python_2 = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\ntcnumpy\n"
        b"dtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?'\ntb."
    )
    with open(source, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        pickle.dump(np.array({"a": numbers, "b": np.asfortranarray(numbers)}, object), file, 2)
    stored = read_pickled_array(source)
    for name in "ab":
        np.testing.assert_array_equal(stored[name], numbers)
    header = source.read_bytes()[:128]
    outer = python_2.replace(b"(I1\ntcnumpy", b"(tcnumpy").replace(b"S'f4'", b"S'O8'")
    outer = outer.replace(b"S'\\x00\\x00\\x80?'\n", b"(lp0\n" + python_2[:-1] + b"a")
    source.write_bytes(header + outer)
    assert read_pickled_array(source).tolist() == [1.0]


def write_pickle(path: Path, pickled: bytes) -> None:
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(pickled)


class _ArrayState:
    """Pickled as an array with a state of its own choice."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        reconstruct, arguments, _ = np.zeros(0).__reduce__()
        return reconstruct, arguments, self.state


class _TypeState:
    """The type of objects, pickled with flags that call its pointers plain numbers."""

    def __reduce__(self) -> Any:
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)


@pytest.mark.parametrize(
    "array",
    [
        _ArrayState(1, (1,), _TypeState(), False, b"\x41" * 8),
        _ArrayState(1, (2**40,), np.dtype("f4"), False, b"abcd"),
        _ArrayState(1, (1,), np.dtype("M8"), False, b"abcdefgh"),
        _ArrayState(1, (1,), np.dtype([("a", "O")]), False, b"abcdefgh"),
    ],
    ids=["pointers", "larger than its bytes", "of dates", "of structures"],
)
def test_arrays_that_lie_about_their_memory_are_refused(array: Any, tmp_path: Path) -> None:
    source = tmp_path / "sound8.npy"
    write_pickle(source, pickle.dumps(_ArrayState(1, (), np.dtype("O"), False, [{"conv1": array}])))
    with pytest.raises(UserError, match="is not SoundNet's sound8.npy"):
        convert_file(source, tmp_path / "out.safetensors")


class Malice:
    """What a pickle can do."""

    def __reduce__(self) -> Any:
        return print, ("code in the file ran",)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ({"conv1": Malice()}, "builtins.print, which is no array"),
        ({"conv1": {}}, "its layers are conv1, not those of SoundNet"),
        ([1, 2], "is not SoundNet's sound8.npy"),
    ],
)
def test_other_files_are_refused_and_run_no_code(
    layers: Any, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "sound8.npy", tmp_path / "out.safetensors"
    write_layers(source, layers)
    with pytest.raises(UserError, match=sentence):
        convert_file(source, target)
    assert capsys.readouterr().out == ""
    assert not target.exists()


def test_other_shapes_and_missing_files_are_sentences(tmp_path: Path) -> None:
    source = tmp_path / "sound8.npy"
    layers = draw_layers()
    layers["conv2"]["weights"] = layers["conv2"]["weights"][:8]
    write_layers(source, layers)
    with pytest.raises(UserError, match=r"conv2.weight has the shape"):
        convert_file(source, tmp_path / "out.safetensors")
    source.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_pickled_array(source)
    source.write_bytes(pickle.dumps({}))
    with pytest.raises(UserError, match="is not SoundNet's sound8.npy"):
        read_pickled_array(source)
    assert main([str(source), str(tmp_path / "out.safetensors")]) == 1
    assert main([str(source)]) == 2


def test_what_cannot_be_used_says_why() -> None:
    with pytest.raises(UnusableError, match=r"^silent: the video has no sound"):
        soundnet.SoundReader().prepare(Video("a", Path("none.mp4"), "0", 25.0, 150))
    with pytest.raises(UserError, match=r"features.soundnet.options.layer"):
        build(layer="conv8")


def pinned() -> dict[str, Any]:
    """Some steps of both layers, with random weights of seed 0."""
    numbers: dict[str, Any] = {"version": soundnet.VERSION}
    for layer in soundnet_net.LAYERS:
        steps = soundnet.SoundSteps(make_sound(2), np.arange(1, 192, 2) / 25)
        (row,) = build(layer=layer).score([steps])
        assert isinstance(row, dict)
        values = row["audio"].astype(float).ravel()
        chosen = [values.std(), *values[:: len(values) // 9]]
        numbers[layer] = [float(f"{v:.6g}") for v in chosen]
    return numbers


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for layer in soundnet_net.LAYERS:
        assert computed[layer] == pytest.approx(expected[layer], rel=1e-3, abs=1e-3), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
