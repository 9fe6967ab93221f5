"""Measures of picture, motion and lip sync that need no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sfqa import faces, media, tables
from sfqa.features import lip_sync_signal, siti
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.motion_signal import Motion
from sfqa.features.mouth_signal import MouthWatch, Run
from sfqa.features.picture_signal import Picture, is_black, measure
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


def _haar(image: siti.Image) -> list[faces.Box]:
    # Talking heads are large: at half the size a quarter of the time finds nearly all of them.
    return faces.detect_faces(image, max_side=160) or faces.detect_faces(image)


#: Face detectors by the name in the option ``detector``; faces.VERSION is pinned by the golden.
DETECTORS: dict[str, Callable[[siti.Image], list[faces.Box]]] = {"haar": _haar}

_RATE = 16000
#: Pictures smaller than this have no 16x16 block to look at.
_LEAST_SIDE = 16
#: Sound below this RMS in every frame is none (-60 dB of full scale).
_SILENT_DB = -60.0
_GREY = "grey level"


def _number(name: str, meaning: str, unit: str = "") -> Feature:
    return Feature(name, meaning, dtype="float64", unit=unit)


def _course(name: str, meaning: str, unit: str = "") -> Feature:
    return Feature(name, meaning, ("second",), "float32", unit)


class Extractor:
    """Signal measures on the decoded frames, in one pass; luma is that of the option ``matrix``."""

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        _number("si_mean", "spatial information (ITU-T P.910), mean over time", _GREY),
        _number("si_max", "spatial information (ITU-T P.910)", _GREY),
        _number("ti_mean", "temporal information (ITU-T P.910), mean over time", _GREY),
        _number("ti_max", "temporal information (ITU-T P.910)", _GREY),
        _number("sharpness", "variance of the Laplacian", "square grey level"),
        _number("tenengrad", "mean squared Sobel gradient", "square grey level"),
        _number("contrast", "RMS contrast: standard deviation of luma", "0..1"),
        _number("brightness", "mean luma", _GREY),
        _number("colourfulness", "M of Hasler and Suesstrunk 2003"),
        _number("blockiness", "8x8 grid against inside, B/A of Wang et al. 2002; 1 = no grid"),
        _number("noise", "standard deviation of noise (Immerkaer 1996)", _GREY),
        _number("flicker", "RMS of the high-passed mean luma", _GREY),
        _number("motion", "mean absolute change from frame to frame", _GREY),
        _number("motion_smoothness", "1 - mean error of frames from their neighbours", "0..1"),
        _number("motion_irregularity", "that error over the mean change; 0 = even motion"),
        _number("frozen_share", "share of frames that repeat the one before", "0..1"),
        _number("black_share", "share of black frames", "0..1"),
        _number("face_share", "share of the looked-at frames with a face", "0..1"),
        Feature("lip_frames", "longest run of frames with a face", (), "int64", "frame"),
        _number("lip_motion_range", "range of the mouth's darkness within 0.36 s, mean"),
        _number("lip_loudness_correlation", "lips against loudness at the best shift", "-1..1"),
        Feature("lip_loudness_offset_frames", "lips late if positive", (), "int64", "frame"),
        _number("lip_loudness_zero_lag", "lips against loudness without shift", "-1..1"),
        _course("si_per_second", "spatial information, mean per second", _GREY),
        _course("ti_per_second", "temporal information, mean per second", _GREY),
        _course("sharpness_per_second", "variance of the Laplacian", "square grey level"),
        _course("brightness_per_second", "mean luma", _GREY),
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
        """Return the measures of a video; see :class:`Extractor` for how.

        What cannot be told (lips without a face or sound, motion of too few frames) is empty, and
        the detail says why.
        """
        if video.frames < 1:
            raise UnusableError(tables.flaw("short", "the video has no frame"))
        try:
            return self._measured(video)
        except media.MediaError as error:
            raise UnusableError(tables.flaw("broken", str(error))) from error

    def _measured(self, video: Video) -> dict[str, Any]:
        motion, watch = Motion(), MouthWatch(self.detector, self.detect_every)
        pictures: list[Picture] = []
        black = 0
        for number, image in enumerate(_frames(video)):
            luma = siti.luma(image, self.matrix)
            motion.feed(luma)
            if number % self.every == 0:
                pictures.append(measure(image, luma))
            black += is_black(luma, motion.brightness[-1])
            watch.feed(image, luma, last=number == video.frames - 1)
        lips, flaws = self._lips(video, watch)
        if video.frames < 3:
            few = f"{video.frames} of at least 3 frames, motion cannot be told"
            flaws.insert(0, tables.flaw("short", few))
        return {
            **_of_pictures(pictures),
            **_of_motion(motion),
            "black_share": black / video.frames,
            **_courses(pictures, motion, self.every, video.fps),
            **lips,
            "detail": "; ".join(flaws),
        }

    def _lips(self, video: Video, watch: MouthWatch) -> tuple[dict[str, Any], list[str]]:
        run, flaws = watch.run(), []
        found: dict[str, Any] = {
            "face_share": watch.hits / watch.looks,
            "lip_frames": len(run.opening),
            "lip_motion_range": None,
            "lip_loudness_correlation": None,
            "lip_loudness_offset_frames": None,
            "lip_loudness_zero_lag": None,
        }
        if not run.opening.size:
            why = f"no face in {watch.looks} frames looked at"
            return found, [tables.flaw("no_face", why)]
        if 2 * watch.crowded > watch.looks:
            why = "more than one face is in the picture, the largest was followed"
            flaws.append(tables.flaw("several_faces", why))
        if 2 * len(run.opening) < video.frames:
            why = f"the face was followed in {len(run.opening)} of {video.frames} frames"
            flaws.append(tables.flaw("face_lost", why))
        window = lip_sync_signal.window_frames(video.fps)
        found["lip_motion_range"] = lip_sync_signal.motion_range(run.opening, window)
        try:
            sync = self._sync(video, run, window)
        except _UntoldError as reason:
            return found, [*flaws, str(reason)]
        found["lip_loudness_correlation"] = sync.correlation
        found["lip_loudness_offset_frames"] = sync.offset
        found["lip_loudness_zero_lag"] = sync.zero
        return found, flaws

    def _sync(self, video: Video, run: Run, window: int) -> lip_sync_signal.Sync:
        """Lips against sound, or :class:`_UntoldError` with the reason why not."""
        if video.audio_path is None:
            raise _UntoldError(tables.flaw("silent", "the video has no sound"))
        try:
            sound = media.read_audio(video.audio_path, _RATE)
        except media.MediaError as error:
            raise _UntoldError(
                tables.flaw("silent", f"its sound cannot be read, {error}")
            ) from None
        level = lip_sync_signal.loudness(sound, _RATE, video.fps)[run.first :]
        both = min(len(level), len(run.opening))
        least = lip_sync_signal.least_frames(self.max_shift, window)
        if both < least:
            why = f"{both} frames with face and sound, {least} are the least for the lips"
            raise _UntoldError(tables.flaw("short", why))
        if level[:both].max() < _SILENT_DB:
            raise _UntoldError(tables.flaw("silent", "the sound is silence (below -60 dB)"))
        lips = run.opening[:both]
        sync = lip_sync_signal.compare(lips, level[:both], self.max_shift, window)
        if sync is None:
            why = "the lips or the loudness do not change, they cannot be compared"
            raise _UntoldError(tables.flaw("steady", why))
        return sync


class _UntoldError(Exception):
    """Why the lips cannot be compared with the sound, as 'word: sentence'."""


def _frames(video: Video) -> Iterator[siti.Image]:
    """The frames one by one, uint8 RGB."""
    frames = media.iterate_frames(video.path, range(video.frames))
    first = next(frames)
    height, width = first.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        why = f"the picture is {width}x{height}, {_LEAST_SIDE}x{_LEAST_SIDE} is the least"
        raise UnusableError(tables.flaw("small", why))
    yield first
    yield from frames


def _of_pictures(pictures: Sequence[Picture]) -> dict[str, float]:
    mean = Picture(*np.mean(pictures, axis=0).tolist())._asdict()
    si = mean.pop("si")
    return {"si_mean": si, "si_max": max(p.si for p in pictures), **mean}


def _of_motion(motion: Motion) -> dict[str, float | None]:
    def over(values: Sequence[float]) -> float | None:
        return float(np.mean(values)) if values else None

    return {
        "ti_mean": over(motion.ti),
        "ti_max": max(motion.ti, default=None),
        "flicker": motion.flicker(),
        "motion": over(motion.change),
        "motion_smoothness": motion.smoothness(),
        "motion_irregularity": motion.irregularity(),
        # The first frame repeats none.
        "frozen_share": over(motion.frozen) if motion.frozen else 0.0,
    }


def _courses(
    pictures: Sequence[Picture], motion: Motion, every: int, fps: float
) -> dict[str, npt.NDArray[np.float32]]:
    """Means per second; a picture that was passed over has the measures of the one before."""
    frames = len(motion.brightness)
    held = np.arange(frames) // every
    return {
        "si_per_second": _per_second(np.array([p.si for p in pictures])[held], fps),
        "ti_per_second": _per_second(np.array([*(motion.ti[:1] or [0.0]), *motion.ti]), fps),
        "sharpness_per_second": _per_second(np.array([p.sharpness for p in pictures])[held], fps),
        "brightness_per_second": _per_second(np.array(motion.brightness), fps),
    }


def _per_second(values: npt.NDArray[np.float64], fps: float) -> npt.NDArray[np.float32]:
    """Mean per second of the video, the last one as long as it is.

    Below one frame per second each frame stands for itself.
    """
    second = (np.arange(len(values)) / max(fps, 1.0) + 1e-9).astype(np.int64)
    total = np.bincount(second, weights=values)
    return np.asarray(total / np.bincount(second), np.float32)
