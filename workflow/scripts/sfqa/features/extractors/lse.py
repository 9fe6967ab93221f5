"""LSE-C, LSE-D and audio-visual offset of the face in a video (SyncNet)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from sfqa import faces, media
from sfqa.arrays import Floats32
from sfqa.features import base, batches, face_clips, face_track, sync_distance
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.face_clips import FaceClip, Samples
from sfqa.features.face_track import Detector, FaceSearch, Follower
from sfqa.features.reference_tracks import ReferenceTracker, ShrunkClip, ShrunkReader
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

VERSION = 3
WEIGHTS = True
WEIGHTS_PARTS = {"detector": {"detector": "s3fd"}}
OPTIONS: Options = {
    "min_track": Option(
        50, 0, None,
        "detections that a face track must exceed; the reference has 100, LatentSync 50; with haar "
        "at most 80 % of a shorter clip",
        whole=True,
    ),
    "max_shift": Option(
        15, 1, None, "largest shift between sound and picture, in frames", whole=True
    ),
    "detector": Choice(
        "haar", ("haar", "s3fd"),
        "face detector; haar: OpenCV's cascades; s3fd: that of the reference, with weights of its "
        "own and the reference's limits of probability and size",
    ),
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

#: Face detectors without a network, by the name in the option ``detector``; faces.VERSION is pinned
#: by the goldens.
DETECTORS: dict[str, Detector] = {"haar": faces.detect_faces}
#: Faster functions that follow a face from frame to frame, by detector.
FOLLOWERS: dict[Detector, Follower] = {faces.detect_faces: faces.follow_face}

#: Decoded frames kept between face search and cropping, in bytes; more are decoded again.
_MAX_KEPT_BYTES = 192 << 20
#: Default windows per pass of the lip network on a GPU, and minimum for the audio network.
_GPU_SIZE = 128


class Extractor:
    """SyncNet on the longest face track of a video at 25 fps and its sound at 16 kHz.

    Weights: the official ``syncnet_v2.model`` of joonson/syncnet_python, and for the detector s3fd
    ``sfd_face.pth`` of the same.
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
        every, min_track = options["detect_every"], options["min_track"]
        self.reader: FaceReader | ShrunkReader
        self.tracker: ReferenceTracker | None = None
        if options["detector"] == "s3fd":
            from sfqa.features.s3fd import S3FD

            self.reader = ShrunkReader(every, self.max_shift)
            detector = cast(S3FD, weights.get_part("detector").load(S3FD))
            self.tracker = ReferenceTracker(detector, device, min_track, self.max_shift)
        else:
            self.reader = FaceReader(options["detector"], every, min_track, self.max_shift)
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

    def score(
        self, prepared: Iterable[FaceClip | ShrunkClip]
    ) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the scores of each video's track, or why no face could be followed."""
        errors: deque[UnusableError | None] = deque()  # of the videos that are not yielded yet
        for lip, sound, facts in self.compute_features(self._track_faces(prepared, errors)):
            while (error := errors.popleft()) is not None:
                yield error
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
        yield from (error for error in errors if error is not None)

    def _track_faces(
        self, prepared: Iterable[FaceClip | ShrunkClip], errors: deque[UnusableError | None]
    ) -> Iterator[FaceClip]:
        """Yield the face clips of the videos that have one, and append each video's error."""
        for clip in prepared:
            error, face_clip = None, clip if isinstance(clip, FaceClip) else None
            if isinstance(clip, ShrunkClip):
                assert self.tracker is not None
                try:
                    face_clip = self.tracker.make_face_clip(clip)
                except UnusableError as unusable:
                    error = unusable
            errors.append(error)
            if face_clip is not None:
                yield face_clip

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
class FaceReader:
    """Tracks the face in a video and crops SyncNet's input; options of :class:`Extractor`."""

    detector: str
    every: int
    min_track: int
    max_shift: int

    def prepare(self, video: Video) -> FaceClip:
        """Return the longest track's crops and sound; raises :class:`UnusableError`."""
        sound = face_clips.read_sound(video)
        try:
            return self._prepare_face(video, sound)
        except media.MediaError as error:
            raise UnusableError(f"broken: {error}") from error

    def _prepare_face(self, video: Video, sound: Samples) -> FaceClip:
        frames_shown = face_clips.list_frames_shown(video)
        face_clips.count_windows(len(frames_shown), len(sound), self.max_shift, "the video")
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
        return face_clips.make_face_clip(
            video.path, sound, frames_shown, tracks, len(searched), self.max_shift,
            pictures_by_frame,
        )  # fmt: skip

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
