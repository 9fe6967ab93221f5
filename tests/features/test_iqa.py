"""The metrics of pyiqa against its own calls, its absence, and pinned numbers.

Remake the pinned numbers after a bump of VERSION, in an environment with pyiqa, with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_iqa.py``.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moving_blocks import draw_moving_blocks
from needs_pyiqa import needs_pyiqa
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, iqa_metrics, official
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import iqa
from sfqa.features.weights import Weights

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "iqa.json"
RANDOM = Weights("random", "random:0")
#: As many crops of a picture as TReS reads take a minute.
SLOW = {"tres"}


def draw_pictures() -> list[media.Pixels]:
    """Three pictures of different sizes and content."""
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    blocks = draw_moving_blocks(2, 256, 224)
    return [noise, blocks[1], np.ascontiguousarray(draw_moving_blocks(1, 300, 400)[0, ::-1])]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may download anything."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def save_published(metric: str, extractor: iqa.Extractor, folder: Path) -> Path:
    """Save the weights of a metric in the layout of the file that pyiqa publishes."""
    entries = official.load_registry()
    entry = official.find_official_file(entries, "iqa", {"metric": metric})
    net = extractor.forward.net if extractor.has_token else extractor.forward
    path = folder / entry.file
    if metric == "niqe":
        from scipy import io

        io.savemat(
            path,
            {
                "mu_prisparam": net.mu_pris_param[None].numpy(),
                "cov_prisparam": net.cov_pris_param.numpy(),
            },
        )
        return path
    if metric == "brisque":
        torch.save((net.sv_coef, net.sv), path)
        return path
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    torch.save({entry.keys.wrapper: state} if entry.keys.wrapper else state, path)
    return path


def create_by_pyiqa(
    metric: str, file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> torch.nn.Module:
    """Create a metric by the library's own call; its downloads give the file, or nothing."""
    import importlib

    import pyiqa
    import timm
    import torchvision

    module = importlib.import_module(f"pyiqa.archs.{iqa_metrics.METRICS[metric].module}_arch")
    plain = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *a, **o: plain(*a, **{**o, "pretrained": False})
    )
    for name in ("resnet34", "resnet50"):
        build = getattr(torchvision.models, name)
        monkeypatch.setattr(torchvision.models, name, lambda build=build, **_: build())
    for key in module.default_model_urls:
        monkeypatch.setitem(module.default_model_urls, key, str(file))
    if hasattr(module, "load_file_from_url"):
        monkeypatch.setattr(module, "load_file_from_url", lambda url: url)
    monkeypatch.setattr(module, "DEFAULT_CACHE_DIR", str(folder), raising=False)
    monkeypatch.setattr(module, "FaceRestoreHelper", lambda *_, **__: None, raising=False)
    monkeypatch.setattr(module, "load", iqa_metrics._build_clip, raising=False)
    options = {"align_crop_face": False} if "face" in metric else {}
    net: torch.nn.Module = pyiqa.create_metric(metric, device=torch.device("cpu"), **options)
    return net


@needs_pyiqa
@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("metric", sorted(set(iqa_metrics.METRICS) - {"qalign"}))
def test_scores_are_those_of_the_librarys_own_call(
    metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained = base.build_extractor("iqa", {"metric": metric}, RANDOM, "cpu")
    file = save_published(metric, untrained, tmp_path)
    entry = official.find_official_file(official.load_registry(), "iqa", {"metric": metric})
    weights = Weights("official", "0" * 64, file, seed=1, keys=entry.keys)
    extractor = base.build_extractor("iqa", {"metric": metric}, weights, "cpu")
    pictures = draw_pictures()[: 1 if metric in SLOW else 3]
    rows = list(extractor.score([picture[None] for picture in pictures]))
    by_pyiqa = create_by_pyiqa(metric, file, tmp_path, monkeypatch)
    for picture, row in zip(pictures, rows, strict=True):
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        expected = float(by_pyiqa(x))
        assert isinstance(row, dict)
        assert row["score"] == pytest.approx(expected, abs=1e-4, rel=1e-6)
        assert row["scores"].tolist() == [pytest.approx(row["score"])]
    scores = [row["score"] for row in rows if isinstance(row, dict)]
    assert len(set(scores)) == len(pictures)


@needs_pyiqa
@pytest.mark.usefixtures("offline")
def test_an_aligned_face_is_scored_as_by_the_librarys_own_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector has random weights that take every place for a face."""
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.utils import face_restoration_helper as helper

    metric = "topiq_nr-face"
    untrained = base.build_extractor("iqa", {"metric": metric}, RANDOM, "cpu")
    file = save_published(metric, untrained, tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        detector = RetinaFace(device=torch.device("cpu"))
    for head in detector.ClassHead:
        head.conv1x1.bias.data.copy_(torch.tensor([-9.0, 9.0]).repeat(head.num_anchors))
    found = tmp_path / "detector.pth"
    torch.save({f"module.{key}": value for key, value in detector.state_dict().items()}, found)
    files = official.find_official_files(
        official.load_registry(), "iqa",
        {"weights": "official", "options": {"metric": metric, "input": "aligned_face"}},
    )  # fmt: skip
    part = Weights("official", "1" * 64, found, keys=files["detector"].keys)
    weights = Weights("official", "0" * 64, file, keys=files[""].keys, parts={"detector": part})
    options = {"metric": metric, "input": "aligned_face"}
    extractor = base.build_extractor("iqa", options, weights, "cpu")
    picture = draw_pictures()[2]
    (row,) = extractor.score([picture[None]])

    by_pyiqa: Any = create_by_pyiqa(metric, file, tmp_path, monkeypatch)
    monkeypatch.setattr(helper, "init_detection_model", lambda *_, **__: detector.eval())
    monkeypatch.setattr(helper, "init_parsing_model", lambda *_, **__: None)
    by_pyiqa.net.face_helper = helper.FaceRestoreHelper(1, device=torch.device("cpu"))
    by_pyiqa.net.align_crop_face = True
    expected = float(by_pyiqa(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255))
    assert isinstance(row, dict)
    assert row["score"] == pytest.approx(expected, abs=1e-4)
    (whole,) = untrained.score([picture[None]])
    assert isinstance(whole, dict)
    assert abs(whole["score"] - row["score"]) > 1e-4

    monkeypatch.setattr(extractor.forward.net.face_helper.face_det, "detect_faces", no_faces)
    (failed,) = extractor.score([picture[None]])
    assert str(failed) == "no_face: no face was found in the frame at second 0"


def no_faces(*_: Any) -> np.ndarray:
    return np.zeros((0, 15), np.float32)


@needs_pyiqa
@pytest.mark.usefixtures("offline")
def test_the_score_of_topiq_comes_from_its_token() -> None:
    extractor = base.build_extractor("iqa", {"metric": "topiq_nr-face-v1"}, RANDOM, "cpu")
    frames = draw_moving_blocks(2, 96, 128)
    (row,) = extractor.score([frames])
    assert isinstance(row, dict)
    assert row["token"].shape == (2, 256)
    with torch.inference_mode():
        scores = extractor.forward.net.score_linear(torch.from_numpy(row["token"]))
    np.testing.assert_allclose(scores[:, 0].numpy(), row["scores"], atol=1e-6)
    assert np.abs(row["token"][0] - row["token"][1]).max() > 1e-3


@needs_pyiqa
def test_one_frame_of_each_second_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    media.write_video(path, draw_moving_blocks(15, 64, 96), 5.0)
    extractor = base.build_extractor("iqa", {"metric": "topiq_nr"}, RANDOM, "cpu")
    row = extractor.extract(Video("a", path, "0", fps=5.0, frames=15))
    by_hand = [next(extractor.score([f[None]])) for f in media.read_frames(path)[::5]]
    assert row["scores"].tolist() == [r["score"] for r in by_hand if isinstance(r, dict)]
    assert row["score"] == pytest.approx(row["scores"].mean(dtype=np.float64))
    (again,) = base.build_extractor("iqa", {"metric": "topiq_nr"}, RANDOM, "cpu").score(
        [media.read_frames(path)[::5]]
    )
    assert isinstance(again, dict)
    np.testing.assert_array_equal(again["token"], row["token"])


@needs_pyiqa
@pytest.mark.parametrize("metric", ["musiq", "niqe", "brisque", "topiq_nr"])
def test_another_file_is_refused_with_counts(metric: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(UserError, match=r"0 of \d+ (keys|parameters) match|cannot be read as NIQE"):
        base.build_extractor("iqa", {"metric": metric}, Weights("official", "0" * 64, path), "cpu")


@needs_pyiqa
def test_niqe_parameters_of_another_shape_are_counted(tmp_path: Path) -> None:
    from scipy import io

    path = tmp_path / "niqe.mat"
    io.savemat(path, {"mu_prisparam": np.zeros((1, 36)), "cov_prisparam": np.eye(18)})
    with pytest.raises(UserError, match=r"1 of 2 parameters match; not cov_prisparam \(18, 18\)"):
        base.build_extractor("iqa", {"metric": "niqe"}, Weights("official", "0" * 64, path), "cpu")


@needs_pyiqa
def test_a_score_that_is_no_number_is_a_failed_row(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = base.build_extractor("iqa", {"metric": "brisque"}, RANDOM, "cpu")
    monkeypatch.setattr(extractor, "forward", lambda x: torch.full((len(x),), torch.nan))
    (row,) = extractor.score([draw_moving_blocks(1, 64, 64)])
    assert isinstance(row, UnusableError)
    assert str(row).startswith("not_finite: ")


@needs_pyiqa
def test_focusq_input_is_for_topiq() -> None:
    for metric, name in (("musiq", "focusq"), ("topiq_nr", "aligned_face")):
        with pytest.raises(UserError, match=rf"options.input: '{name}' is not possible"):
            base.build_extractor("iqa", {"metric": metric, "input": name}, RANDOM, "cpu")


@pytest.mark.parametrize(
    ("metric", "size", "word"),
    [
        ("liqe", (220, 300), "fewer than 224"),
        ("niqe", (150, 150), "fewer than two blocks of 96"),
        ("musiq", (30, 90), "fewer than 32"),
    ],
)
def test_pictures_that_a_metric_cannot_score(
    metric: str, size: tuple[int, int], word: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    media.write_video(path, draw_moving_blocks(3, *size), 25.0)
    with pytest.raises(UnusableError, match=rf"^too_small: .*{word}"):
        iqa.FrameReader(metric).prepare(Video("a", path, "0", 25.0, 3))
    with pytest.raises(UnusableError, match=r"^broken: "):
        iqa.FrameReader(metric).prepare(Video("a", path, "0", 25.0, 0))


def test_without_pyiqa_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    for name in ("iqa", "iqa-musiq"):
        with pytest.raises(UserError, match=rf"features.{name}: the package pyiqa, which .* -r"):
            base.build_extractor(name, {}, RANDOM, "cpu")
    base.check_package("slowfast")


def test_every_metric_has_an_option_and_a_weights_file() -> None:
    declared = base.merge_options("iqa", {})
    assert declared == {"metric": "musiq", "input": "frame"}
    assert set(iqa.OPTIONS["metric"].choices) == set(iqa_metrics.METRICS)
    entries = official.load_registry()
    files = {
        official.find_official_file(entries, "iqa", {"metric": metric}).file
        for metric in iqa_metrics.METRICS
    }
    assert len(files) == len(iqa_metrics.METRICS)
    # The face detector is not of pyiqa.
    of_pyiqa = [e for e in entries.values() if e.extractor == "iqa" and e.part != "detector"]
    assert all("non-commercial" in e.licence for e in of_pyiqa)


def test_pyiqa_is_in_files_of_its_own_only() -> None:
    """Its licence is not for every user, so no other installation may bring it."""
    lines = (ROOT / "requirements-iqa.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    script = (ROOT / "workflow/envs/iqa.post-deploy.sh").read_text()
    assert re.findall(r"^    ([\w-]+==\S+)", script, re.MULTILINE) == pins
    assert any(pin.startswith("pyiqa==") for pin in pins)
    envs = ROOT / "workflow/envs"
    with_pyiqa = (envs / "iqa.yaml").read_text().splitlines()[1:]
    assert with_pyiqa == (envs / "torch.yaml").read_text().splitlines()[1:]
    for path in (*ROOT.glob("requirements*.txt"), ROOT / "environment.yml"):
        if path.name != "requirements-iqa.txt":
            assert "pyiqa" not in path.read_text()


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames to scores, with random weights of seed 0."""
    computed: dict[str, Any] = {"version": iqa.VERSION}
    frames = draw_moving_blocks(2, 224, 256)
    for metric in ("niqe", "brisque", "musiq", "unique", "topiq_nr-face-v1"):
        (row,) = base.build_extractor("iqa", {"metric": metric}, RANDOM, "cpu").score([frames])
        assert isinstance(row, dict)
        numbers = [row["score"], *row["scores"]]
        if row["token"] is not None:
            numbers += [row["token"].std(), *row["token"][0, :8]]
        computed[metric] = [float(f"{v:.6g}") for v in numbers]
    return computed


@needs_pyiqa
def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in expected:
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
