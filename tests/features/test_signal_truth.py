"""On videos whose defects are known, the measures find them: how many frames, and which is worse."""

from itertools import pairwise

import numpy as np
import pytest

from demo_material import save_portrait
from sfqa import identity, media
from sfqa.features import base
from sfqa.features.weights import Weights
from sfqa.generation import adapters
from thinned import mark_others_thorough

RATE, FPS = 16000, 25.0
EXTRACTOR = base.build_extractor("signal", {}, Weights("none", "none"), "cpu")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portraits")
    return [save_portrait(folder / f"portrait0{n}.png", n, 256) for n in (1, 2, 3)]


@pytest.fixture
def measured(portraits, tmp_path):
    def measure(portrait=0, seed=5, frames=80, size=160, **options):
        """The measures of a portrait that sings syllables with the given defects."""
        rng, levels = identity.random_generator("truth", seed), []
        while len(levels) < frames:
            levels += [float(rng.choice([0.0, 0.1, 0.3, 0.5]))] * int(rng.integers(3, 8))
        tone = np.sin(2 * np.pi * 220 * np.arange(frames * 640) / RATE)
        clip, output = tmp_path / "clip.wav", tmp_path / "v.mp4"
        loud = np.repeat(levels[:frames], 640) * tone
        media.write_wave(clip, loud.astype(np.float32), RATE)
        image = portraits[portrait]
        job = adapters.RenderJob("a__b", options, image, clip, output, tmp_path, seed, size, FPS)
        adapters.load("procedural").generate(job)
        count, _ = media.frame_times(output)
        video = base.Video("s", output, "0" * 64, FPS, count, clip, "1" * 64, RATE)
        found = EXTRACTOR.extract(video)
        assert found["lip_frames"] == count
        return found

    return measure


def falls(values):
    return all(a > b for a, b in pairwise(values))


@pytest.mark.parametrize(
    ("portrait", "seed", "late"),
    mark_others_thorough([
        (0, 1, -6), (1, 2, -5), (2, 3, -4), (0, 4, -3), (1, 5, -2), (2, 6, -1), (0, 7, 0),
        (1, 8, 1), (2, 9, 2), (0, 10, 3), (1, 11, 4), (2, 12, 5), (0, 13, 6), (1, 1, 0), (2, 1, 0),
    ], 4),
)  # fmt: skip
def test_an_injected_delay_is_found_to_the_frame(measured, portrait, seed, late):
    found = measured(portrait, seed, lip_delay_frames=late)
    assert found["lip_loudness_offset_frames"] == late
    assert found["lip_loudness_correlation"] > 0.4
    assert found["lip_loudness_zero_lag"] <= found["lip_loudness_correlation"]


@pytest.mark.thorough
@pytest.mark.parametrize("portrait", [0, 2])
def test_frozen_lips_move_less(measured, portrait):
    # Which stretches freeze is chance, and a first quarter may fall on pauses: from a half on.
    rows = [measured(portrait, lip_freeze_share=share) for share in (0, 0.5, 1)]
    assert falls([row["lip_motion_range"] for row in rows])
    assert rows[-1]["lip_motion_range"] < 0.4 * rows[0]["lip_motion_range"]
    assert rows[1]["lip_loudness_zero_lag"] < rows[0]["lip_loudness_zero_lag"]


def test_weak_lips_move_less(measured):
    rows = [measured(lip_gain=gain) for gain in (1, 0.4)]
    assert falls([row["lip_motion_range"] for row in rows])


@pytest.mark.parametrize(
    ("option", "values"), [("blur_sigma_px", (0, 0.5, 1, 2, 4)), ("scale", (1, 0.7, 0.4, 0.2))]
)
def test_blur_and_low_resolution_are_less_sharp(measured, option, values):
    rows = [measured(1, frames=12, **{option: value}) for value in values]
    for name in ("sharpness", "tenengrad", "si_mean", "si_max"):
        assert falls([row[name] for row in rows]), name
    assert rows[-1]["sharpness"] < 0.2 * rows[0]["sharpness"]


def test_noise_is_estimated_higher(measured):
    rows = [measured(1, frames=12, noise_sigma=sigma) for sigma in (20, 10, 5, 2, 0)]
    assert falls([row["noise"] for row in rows])


def test_dropped_frames_are_frozen_and_uneven(measured):
    shares = (0.9, 0.6, 0.3, 0)
    rows = [measured(size=256, frames=40, sway=2, drop_share=share) for share in shares]
    assert falls([row["frozen_share"] for row in rows])
    assert falls([row["motion_irregularity"] for row in rows])
    for row, share in zip(rows, shares, strict=True):
        assert row["frozen_share"] == pytest.approx(share, abs=0.12)


def test_a_wandering_colour_cast_is_colourful(measured):
    plain, cast = (measured(frames=50, colour_drift=drift) for drift in (0, 0.6))
    assert cast["colourfulness"] > 1.1 * plain["colourfulness"]
