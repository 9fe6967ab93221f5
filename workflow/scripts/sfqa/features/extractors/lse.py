"""LSE-C, LSE-D and audio-visual offset of the face in a video (SyncNet)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from sfqa import faces, media, timing
from sfqa.arrays import Floats32
from sfqa.features import base, batches, face_track, sync_distance
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.face_track import Detector, FaceSearch, Follower, Track
from sfqa.features.mfcc import RATE, compute_mfcc
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

VERSION = 3
WEIGHTS = True
OPTIONS: Options = {
    "min_track": Option(
        50, 0, None,
        "detections that a face track must exceed; the reference has 100, LatentSync 50; at most "
        "80 % of a shorter clip",
        whole=True,
    ),
    "max_shift": Option(
        15, 1, None, "largest shift between sound and picture, in frames", whole=True
    ),
    "detector": Choice("haar", ("haar",), "face detector"),
    "detect_every": Option(
        1, 1, None,
        "faces are searched in every n-th frame, and boxes interpolated between them; the "
        "reference looks at each; 5 saves four fifths of the detector's time and moved the crop of "
        "two real talking heads by under 1 % of the face's half size on average, by 4 % at most",
        whole=True,
    ),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the lip network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "windows, of one video or of several, that go through the lip network at once; null: 4 of "
        "one video on a CPU, 128 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: Face detectors by the name in the option ``detector``; faces.VERSION is pinned by the goldens.
DETECTORS: dict[str, Detector] = {"haar": faces.detect_faces}
#: Faster functions that follow a face from frame to frame, by detector.
FOLLOWERS: dict[Detector, Follower] = {faces.detect_faces: faces.follow_face}

#: Decoded frames kept between face search and cropping, in bytes; more are decoded again.
_MAX_KEPT_BYTES = 192 << 20
#: Default windows per pass of the lip network on a GPU, and minimum for the audio network.
_GPU_SIZE = 128
#: Sound whose largest sample is smaller (-60 dBFS) counts as silence.
_SILENCE = 33

Samples = npt.NDArray[np.int16]


class Extractor:
    """SyncNet on the longest face track of a video at 25 fps and its sound at 16 kHz.

    Weights: the official ``syncnet_v2.model`` of joonson/syncnet_python.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("lse_c", "LSE-C, confidence; higher is better", dtype="float64"),
        Feature("lse_d", "LSE-D, smallest mean distance; lower is better", dtype="float64"),
        Feature(
            "offset", "sound before picture where positive, at 25 fps", dtype="int64", unit="frame"
        ),
        Feature("mean_distance", "mean distance per shift -max..max", ("shift",), dtype="float32"),
        Feature(
            "window_distance",
            "distance per window of 5 frames at the best shift",
            ("window",),
            dtype="float32",
        ),
        Feature("track_frames", "length of the scored track", dtype="int64", unit="frame"),
        Feature(
            "face_share",
            "share of the looked-at frames in which the scored face was found",
            dtype="float64",
            unit="0..1",
        ),
        Feature("tracks", "number of face tracks that are long enough", dtype="int64"),
    )
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build SyncNet on the device."""
        from sfqa.features import syncnet

        self.max_shift: int = options["max_shift"]
        self.reader = FaceReader(
            options["detector"], options["detect_every"], options["min_track"], self.max_shift
        )
        self.batching = Batching.choose(options["batch"], device, syncnet.LIP_PASS, _GPU_SIZE)
        size = max(syncnet.AUDIO_PASS, self.batching.size)
        self.audio_batching = replace(self.batching, size=size)
        self.device = device
        net = cast(syncnet.SyncNet, weights.load(syncnet.SyncNet))
        self.stream = syncnet.LipStream(net, options["precision"], device).to(device)
        self.net = net.to(device)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the scores of a video; see :class:`Extractor` for how."""
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[FaceClip]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the scores of each video's track."""
        for lip, sound, facts in self.compute_features(prepared):
            distance = sync_distance.compute_distances(lip, sound, self.max_shift)
            mean = distance.mean(axis=0)
            scores = sync_distance.compute_scores(mean)
            yield {
                "lse_c": scores.lse_c,
                "lse_d": scores.lse_d,
                "offset": scores.offset,
                "mean_distance": mean.astype(np.float32),
                "window_distance": distance[:, self.max_shift - scores.offset].astype(np.float32),
                **facts,
            }

    def compute_features(
        self, prepared: Iterable[FaceClip]
    ) -> Iterator[tuple[Floats32, Floats32, dict[str, Any]]]:
        """Yield lip and sound features (windows, 1024) of each track, and its facts."""
        from sfqa.features import syncnet

        lips = batches.run_batched(
            prepared,
            lambda face_clip: syncnet.list_lip_windows(face_clip.crops, face_clip.windows),
            lambda part: syncnet.run_lip_network(self.stream, part, self.device),
            self.batching,
        )
        with_lips = ((np.stack(rows), t.cepstra, t.facts) for t, rows in lips)  # the crops may go
        with_sound = batches.run_batched(
            with_lips,
            lambda item: syncnet.list_audio_windows(item[1], len(item[0])),
            lambda part: syncnet.run_audio_network(self.net, part, self.device),
            self.audio_batching,
        )
        for (lip, _, facts), rows in with_sound:
            yield lip, np.stack(rows), facts


@dataclass(frozen=True)
class FaceClip:
    """The input of SyncNet: the longest face track of a video.

    ``crops`` (windows + 4, 224, 224, 3), uint8 BGR; ``cepstra`` (columns, 13) at 100 Hz; ``facts``
    are the cells of the row that do not depend on the networks.
    """

    crops: npt.NDArray[np.uint8]
    cepstra: npt.NDArray[np.float64]
    windows: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class FaceReader:
    """Tracks the face in a video and crops SyncNet's input; options of :class:`Extractor`."""

    detector: str
    every: int
    min_track: int
    max_shift: int

    def prepare(self, video: Video) -> FaceClip:
        """Return the longest track's crops and sound; raises :class:`UnusableError`."""
        sound = _read_sound(video)
        try:
            return self._prepare_face(video, sound)
        except media.MediaError as error:
            raise UnusableError(f"broken: {error}") from error

    def _prepare_face(self, video: Video, sound: Samples) -> FaceClip:
        frames_shown = sync_distance.frames_at_25(video.frames, video.fps)
        if video.variable_rate:
            frames_shown = timing.list_shown_frames(video.path, sync_distance.FPS).tolist()
        self._count_windows(len(frames_shown), len(sound), "the video")
        detections, pictures_by_frame = self._detect_faces(video.path, frames_shown)
        searched = [frame for frame, _ in detections]
        least = face_track.count_needed_detections(self.min_track, len(frames_shown), len(searched))
        tracks = face_track.link_tracks(detections, least)
        if not tracks:
            hits = sum(bool(boxes) for _, boxes in detections)
            raise UnusableError(
                f"no_face: no face could be followed through the video (more than {least} "
                f"detections needed, {hits} of {len(searched)} frames show one)"
            )
        track = tracks[0]
        start = track.first * sync_distance.SAMPLES_PER_FRAME
        stop = (track.last + 1) * sync_distance.SAMPLES_PER_FRAME
        sound = sound[start:stop]
        windows = self._count_windows(len(track.boxes), len(sound), "the face track")
        _check_audible(sound, "the sound under the face track")
        frame_count = windows + 4
        needed_frames = frames_shown[track.first : track.first + frame_count]
        pictures = (
            (pictures_by_frame[n] for n in needed_frames)
            if pictures_by_frame
            else _decode_repeated(video.path, needed_frames)
        )
        positions = face_track.smooth_track(track)[:frame_count]
        crops = np.stack(list(face_track.crop_faces(pictures, positions)))
        facts = {
            "track_frames": len(track.boxes),
            "face_share": track.found / len(searched),
            "tracks": len(tracks),
            "detail": _list_defects(tracks, len(frames_shown)),
        }
        return FaceClip(crops, compute_mfcc(sound), windows, facts)

    def _detect_faces(
        self, path: Path, frames_shown: Sequence[int]
    ) -> tuple[list[tuple[int, list[faces.Box]]], dict[int, npt.NDArray[np.uint8]]]:
        """Return the boxes of every searched frame, and all pictures unless they are too many.

        A frame that is shown twice is searched once.
        """
        detect = DETECTORS[self.detector]
        search = FaceSearch(detect, FOLLOWERS.get(detect))
        searched_positions = face_track.list_searched_frames(len(frames_shown), self.every)
        searched = {frames_shown[i] for i in searched_positions}
        boxes: dict[int, list[faces.Box]] = {}
        pictures: dict[int, npt.NDArray[np.uint8]] = {}
        frame_indices = sorted(set(frames_shown))
        for number, image in zip(
            frame_indices, media.iterate_frames(path, frame_indices), strict=True
        ):
            if number in searched:
                boxes[number] = search.find_faces(number, image)
            if image.nbytes * len(frame_indices) > _MAX_KEPT_BYTES:
                break
            pictures[number] = image
        if len(pictures) < len(frame_indices):
            rest = sorted(searched - boxes.keys())
            for number, image in zip(rest, media.iterate_frames(path, rest), strict=True):
                boxes[number] = search.find_faces(number, image)
        return [(i, boxes[frames_shown[i]]) for i in searched_positions], pictures

    def _count_windows(self, frames: int, samples: int, what: str) -> int:
        """Return the number of windows; half of them must have real sound at each shift."""
        windows = sync_distance.window_count(frames, samples)
        needed = 2 * self.max_shift + 1
        if windows < needed:
            raise UnusableError(
                f"short: {what} has {frames} frames at 25 fps and {samples / RATE:.2f} s of "
                f"sound, {needed + 5} frames with sound are the least"
            )
        return windows


def _read_sound(video: Video) -> Samples:
    if video.audio_path is None:
        raise UnusableError("silent: the video has no sound")
    try:
        sound = media.read_audio(video.audio_path, RATE)
    except media.MediaError as error:
        raise UnusableError(f"broken: {error}") from error
    samples = np.clip(np.round(sound * 32768.0), -32768, 32767).astype(np.int16)
    _check_audible(samples, "the sound")
    return samples


def _check_audible(sound: Samples, what: str) -> None:
    if np.abs(sound.astype(np.int32)).max() < _SILENCE:
        raise UnusableError(f"silent: {what} is silence (below -60 dBFS)")


def _decode_repeated(path: Path, indices: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of indices that do not fall: a video of few frames a second shows some twice."""
    left = media.iterate_frames(path, sorted(set(indices)))
    for _, group in groupby(indices):
        image = next(left)
        for _ in group:
            yield image


def _list_defects(tracks: Sequence[Track], frames: int) -> str:
    """What makes the scores doubtful, '' where nothing does."""
    first, *others = tracks
    parts = []
    if any(2 * len(t.boxes) >= len(first.boxes) and t.overlaps_with(first) for t in others):
        parts.append("several_faces: more than one face is in the picture; the longest was scored")
    if 2 * len(first.boxes) < frames:
        parts.append(f"face_lost: the face was followed in {len(first.boxes)} of {frames} frames")
    return "; ".join(parts)
