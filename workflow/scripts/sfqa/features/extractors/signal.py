"""Measures of picture, motion and lip sync that need no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sfqa import faces, media, tables, timing
from sfqa.features import lip_sync_signal, siti
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.motion_signal import Motion
from sfqa.features.mouth_signal import MouthTracker, OpeningRun
from sfqa.features.picture_signal import PictureMeasures, is_black, measure_picture
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

VERSION = 1
OPTIONS: Options = {
    "every": Option(
        1, 1, None,
        "single pictures are measured in every n-th frame, motion and lips always in all; the "
        "maximum of SI is that of ITU-T P.910 only if it is 1",
        whole=True,
    ),
    "matrix": Choice(
        "bt601", ("bt601", "bt709"),
        "matrix by which the decoder made RGB, so that RGB gives back the coded luma; it takes "
        "bt601 for files without a tag",
    ),
    "detector": Choice("haar", ("haar",), "face detector"),
    "detect_every": Option(25, 1, None, "faces are searched in every n-th frame", whole=True),
    "max_shift": Option(15, 1, None, "largest shift between lips and sound, in frames", whole=True),
}  # fmt: skip


def _detect_haar(image: siti.Image) -> list[faces.Box]:
    # Talking heads are large: half the size takes a quarter of the time and finds nearly all.
    return faces.detect_faces(image, max_side=160) or faces.detect_faces(image)


#: Face detectors by the name in the option ``detector``; faces.VERSION is pinned by the golden.
DETECTORS: dict[str, Callable[[siti.Image], list[faces.Box]]] = {"haar": _detect_haar}

_RATE = 16000
#: Smaller pictures have no 16x16 block.
_MIN_SIDE = 16
#: Sound below this RMS in every frame counts as silence.
_SILENT_DB = -60.0
_GREY = "grey level"


def _scalar_feature(name: str, meaning: str, unit: str = "") -> Feature:
    return Feature(name, meaning, dtype="float64", unit=unit)


def _course_feature(name: str, meaning: str, unit: str = "") -> Feature:
    return Feature(name, meaning, ("second",), "float32", unit)


class Extractor:
    """Signal measures on the decoded frames, in one pass; luma is that of the option ``matrix``."""

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        _scalar_feature("si_mean", "spatial information (ITU-T P.910), mean over time", _GREY),
        _scalar_feature("si_max", "spatial information (ITU-T P.910)", _GREY),
        _scalar_feature("ti_mean", "temporal information (ITU-T P.910), mean over time", _GREY),
        _scalar_feature("ti_max", "temporal information (ITU-T P.910)", _GREY),
        _scalar_feature("sharpness", "variance of the Laplacian", "square grey level"),
        _scalar_feature("tenengrad", "mean squared Sobel gradient", "square grey level"),
        _scalar_feature("contrast", "RMS contrast: standard deviation of luma", "0..1"),
        _scalar_feature("brightness", "mean luma", _GREY),
        _scalar_feature("colourfulness", "M of Hasler and Suesstrunk 2003"),
        _scalar_feature(
            "blockiness", "8x8 grid against inside, B/A of Wang et al. 2002; 1 = no grid"
        ),
        _scalar_feature("noise", "standard deviation of noise (Immerkaer 1996)", _GREY),
        _scalar_feature("flicker", "RMS of the high-passed mean luma", _GREY),
        _scalar_feature("motion", "mean absolute change from frame to frame", _GREY),
        _scalar_feature(
            "motion_smoothness", "1 - mean error of frames from their neighbours", "0..1"
        ),
        _scalar_feature("motion_irregularity", "that error over the mean change; 0 = even motion"),
        _scalar_feature("frozen_share", "share of frames that repeat the one before", "0..1"),
        _scalar_feature("black_share", "share of black frames", "0..1"),
        _scalar_feature("face_share", "share of the looked-at frames with a face", "0..1"),
        Feature("lip_frames", "longest run of frames with a face", (), "int64", "frame"),
        _scalar_feature("lip_motion_range", "range of the mouth's darkness within 0.36 s, mean"),
        _scalar_feature(
            "lip_loudness_correlation", "lips against loudness at the best shift", "-1..1"
        ),
        Feature("lip_loudness_offset_frames", "lips late if positive", (), "int64", "frame"),
        _scalar_feature("lip_loudness_zero_lag", "lips against loudness without shift", "-1..1"),
        _course_feature("si_per_second", "spatial information, mean per second", _GREY),
        _course_feature("ti_per_second", "temporal information, mean per second", _GREY),
        _course_feature("sharpness_per_second", "variance of the Laplacian", "square grey level"),
        _course_feature("brightness_per_second", "mean luma", _GREY),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Note the options."""
        self.every: int = options["every"]
        self.matrix: str = options["matrix"]
        self.detector = DETECTORS[options["detector"]]
        self.detect_every: int = options["detect_every"]
        self.max_shift: int = options["max_shift"]

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the measures of a video; see :class:`Extractor`.

        Measures that are undefined (lips without a face or sound, motion of too few frames) are
        empty, with the reason in ``detail``.
        """
        if video.frames < 1:
            raise UnusableError(tables.flaw("short", "the video has no frame"))
        try:
            return self._measure(video)
        except media.MediaError as error:
            raise UnusableError(tables.flaw("broken", str(error))) from error

    def _measure(self, video: Video) -> dict[str, Any]:
        motion, tracker = Motion(), MouthTracker(self.detector, self.detect_every)
        pictures: list[PictureMeasures] = []
        black = 0
        for number, image in enumerate(_iterate_frames(video)):
            luma = siti.compute_luma(image, self.matrix)
            motion.add_frame(luma)
            if number % self.every == 0:
                pictures.append(measure_picture(image, luma))
            black += is_black(luma, motion.brightness[-1])
            tracker.add_frame(image, luma, last=number == video.frames - 1)
        visible = None
        if video.variable_rate:  # as if each frame were repeated for as long as it is visible
            visible = timing.list_shown_frames(video.path, video.fps)
        lips, flaws = self._measure_lips(video, tracker, visible)
        if video.frames < 3:
            reason = f"{video.frames} of at least 3 frames, motion cannot be told"
            flaws.insert(0, tables.flaw("short", reason))
        return {
            **_summarize_pictures(pictures),
            **_summarize_motion(motion),
            "black_share": black / video.frames,
            **_compute_courses(pictures, motion, self.every, video.fps, visible),
            **lips,
            "detail": "; ".join(flaws),
        }

    def _measure_lips(
        self, video: Video, watch: MouthTracker, visible: npt.NDArray[np.int64] | None
    ) -> tuple[dict[str, Any], list[str]]:
        opening_run, flaws = watch.longest_run(), []
        lip_features: dict[str, Any] = {
            "face_share": watch.hits / watch.looks,
            "lip_frames": len(opening_run.opening),
            "lip_motion_range": None,
            "lip_loudness_correlation": None,
            "lip_loudness_offset_frames": None,
            "lip_loudness_zero_lag": None,
        }
        if not opening_run.opening.size:
            reason = f"no face in {watch.looks} frames looked at"
            return lip_features, [tables.flaw("no_face", reason)]
        if 2 * watch.crowded > watch.looks:
            reason = "more than one face is in the picture, the largest was followed"
            flaws.append(tables.flaw("several_faces", reason))
        if 2 * len(opening_run.opening) < video.frames:
            reason = f"the face was followed in {len(opening_run.opening)} of {video.frames} frames"
            flaws.append(tables.flaw("face_lost", reason))
        if visible is not None:
            opening_run = opening_run.repeat_frames(visible)
        window = lip_sync_signal.window_frames(video.fps)
        lip_features["lip_motion_range"] = lip_sync_signal.motion_range(opening_run.opening, window)
        try:
            sync = self._compare_lips(video, opening_run, window)
        except _NotComparableError as reason:
            return lip_features, [*flaws, str(reason)]
        lip_features["lip_loudness_correlation"] = sync.correlation
        lip_features["lip_loudness_offset_frames"] = sync.offset
        lip_features["lip_loudness_zero_lag"] = sync.zero
        return lip_features, flaws

    def _compare_lips(
        self, video: Video, opening_run: OpeningRun, window: int
    ) -> lip_sync_signal.Sync:
        """Compare lips and sound, or raise :class:`_NotComparableError` with the reason."""
        if video.audio_path is None:
            raise _NotComparableError(tables.flaw("silent", "the video has no sound"))
        try:
            sound = media.read_audio(video.audio_path, _RATE)
        except media.MediaError as error:
            raise _NotComparableError(
                tables.flaw("silent", f"its sound cannot be read, {error}")
            ) from None
        level = lip_sync_signal.compute_level(sound, _RATE, video.fps)[opening_run.first :]
        frame_count = min(len(level), len(opening_run.opening))
        needed = lip_sync_signal.count_needed_frames(self.max_shift, window)
        if frame_count < needed:
            reason = (
                f"{frame_count} frames with face and sound, {needed} are the least for the lips"
            )
            raise _NotComparableError(tables.flaw("short", reason))
        if level[:frame_count].max() < _SILENT_DB:
            raise _NotComparableError(tables.flaw("silent", "the sound is silence (below -60 dB)"))
        lips = opening_run.opening[:frame_count]
        sync = lip_sync_signal.compare_signals(lips, level[:frame_count], self.max_shift, window)
        if sync is None:
            reason = "the lips or the loudness do not change, they cannot be compared"
            raise _NotComparableError(tables.flaw("steady", reason))
        return sync


class _NotComparableError(Exception):
    """The lips cannot be compared with the sound; the message is 'word: sentence'."""


def _iterate_frames(video: Video) -> Iterator[siti.Image]:
    """Yield the frames one by one, uint8 RGB."""
    frames = media.iterate_frames(video.path, range(video.frames))
    first = next(frames)
    height, width = first.shape[:2]
    if min(height, width) < _MIN_SIDE:
        why = f"the picture is {width}x{height}, {_MIN_SIDE}x{_MIN_SIDE} is the least"
        raise UnusableError(tables.flaw("small", why))
    yield first
    yield from frames


def _summarize_pictures(pictures: Sequence[PictureMeasures]) -> dict[str, float]:
    mean = PictureMeasures(*np.mean(pictures, axis=0).tolist())._asdict()
    si = mean.pop("si")
    return {"si_mean": si, "si_max": max(p.si for p in pictures), **mean}


def _summarize_motion(motion: Motion) -> dict[str, float | None]:
    def mean_of(values: Sequence[float]) -> float | None:
        return float(np.mean(values)) if values else None

    return {
        "ti_mean": mean_of(motion.ti),
        "ti_max": max(motion.ti, default=None),
        "flicker": motion.compute_flicker(),
        "motion": mean_of(motion.change),
        "motion_smoothness": motion.compute_smoothness(),
        "motion_irregularity": motion.compute_irregularity(),
        # The first frame repeats none.
        "frozen_share": mean_of(motion.frozen) if motion.frozen else 0.0,
    }


def _compute_courses(
    pictures: Sequence[PictureMeasures],
    motion: Motion,
    every: int,
    fps: float,
    visible: npt.NDArray[np.int64] | None = None,
) -> dict[str, npt.NDArray[np.float32]]:
    """Return SI, TI, sharpness and brightness as means per second.

    ``pictures`` holds every ``every``-th picture, whose SI and sharpness count until the next one;
    ``motion`` covers all frames. ``visible``: the frame that is visible at each i / ``fps``, if it
    is not frame i.
    """
    if visible is None:
        visible = np.arange(len(motion.brightness))
    held = visible // every
    return {
        "si_per_second": _per_second(np.array([p.si for p in pictures])[held], fps),
        "ti_per_second": _per_second(
            np.array([*(motion.ti[:1] or [0.0]), *motion.ti])[visible], fps
        ),
        "sharpness_per_second": _per_second(np.array([p.sharpness for p in pictures])[held], fps),
        "brightness_per_second": _per_second(np.array(motion.brightness)[visible], fps),
    }


def _per_second(values: npt.NDArray[np.float64], fps: float) -> npt.NDArray[np.float32]:
    """Return the mean per second of the video; the last second may be shorter.

    Below one frame per second, each frame counts as one second.
    """
    second = (np.arange(len(values)) / max(fps, 1.0) + 1e-9).astype(np.int64)
    total = np.bincount(second, weights=values)
    return np.asarray(total / np.bincount(second), np.float32)
