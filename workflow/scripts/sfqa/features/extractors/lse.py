"""LSE-C, LSE-D and audio-visual offset of the face in a video (SyncNet)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from sfqa import faces, media
from sfqa.features import base, batches, face_track, sync_distance
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.batches import Floats, Passes
from sfqa.features.face_track import Detector, Follower, Search, Track
from sfqa.features.mfcc import RATE, mfcc
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
    "precision": Choice("fp32", ("fp32", "bf16"), "number format of the lip network"),
    "batch": Option(
        None, 1, None,
        "windows, of one video or of several, that go through the lip network at once; null: 4 of "
        "one video on a CPU, 128 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: Face detectors by the name in the option ``detector``; faces.VERSION is pinned by the goldens.
DETECTORS: dict[str, Detector] = {"haar": faces.detect_faces}
#: Those that can follow a face from picture to picture for less.
FOLLOWERS: dict[Detector, Follower] = {faces.detect_faces: faces.follow_face}

#: Bytes of pictures kept from the search for faces to the cutting out; beyond, decoded again.
_KEPT = 192 << 20
#: Windows per pass of the lip network by default on a GPU, and of the audio network at least.
_ON_GPU = 128
#: Sound whose largest sample is smaller (-60 dBFS) is taken for silence.
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
        self.passes = Passes.choose(options["batch"], device, syncnet.LIP_PASS, _ON_GPU)
        size = max(syncnet.AUDIO_PASS, self.passes.size)
        self.audio_passes = replace(self.passes, size=size)
        self.device = device
        net = cast(syncnet.SyncNet, weights.load(syncnet.SyncNet))
        self.stream = syncnet.LipStream(net, options["precision"]).to(device)
        self.net = net.to(device)

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the scores of a video; see :class:`Extractor` for how."""
        return base.alone(self, video)

    def score(self, prepared: Iterable[Talk]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the scores of each video's track."""
        for lip, sound, facts in self.features(prepared):
            distance = sync_distance.distances(lip, sound, self.max_shift)
            mean = distance.mean(axis=0)
            scores = sync_distance.scores(mean)
            yield {
                "lse_c": scores.lse_c,
                "lse_d": scores.lse_d,
                "offset": scores.offset,
                "mean_distance": mean.astype(np.float32),
                "window_distance": distance[:, self.max_shift - scores.offset].astype(np.float32),
                **facts,
            }

    def features(self, prepared: Iterable[Talk]) -> Iterator[tuple[Floats, Floats, dict[str, Any]]]:
        """Yield lip and sound features (windows, 1024) of each track, and its facts."""
        from sfqa.features import syncnet

        lips = batches.across(
            prepared,
            lambda talk: syncnet.lip_windows(talk.crops, talk.windows),
            lambda part: syncnet.lip_pass(self.stream, part, self.device),
            self.passes,
        )
        seen = ((np.stack(rows), t.cepstra, t.facts) for t, rows in lips)  # the crops may go
        heard = batches.across(
            seen,
            lambda item: syncnet.audio_windows(item[1], len(item[0])),
            lambda part: syncnet.audio_pass(self.net, part, self.device),
            self.audio_passes,
        )
        for (lip, _, facts), rows in heard:
            yield lip, np.stack(rows), facts


@dataclass(frozen=True)
class Talk:
    """What SyncNet sees and hears of a video: the longest face track.

    ``crops`` (windows + 4, 224, 224, 3), uint8 BGR; ``cepstra`` (columns, 13) at 100 Hz; ``facts``
    are the cells of the row that the networks have no part in.
    """

    crops: npt.NDArray[np.uint8]
    cepstra: npt.NDArray[np.float64]
    windows: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class FaceReader:
    """Finds the face in a video and cuts out what SyncNet needs; options of :class:`Extractor`."""

    detector: str
    every: int
    min_track: int
    max_shift: int

    def prepare(self, video: Video) -> Talk:
        """Return the longest track's crops and sound; raises :class:`UnusableError`."""
        sound = _sound(video)
        try:
            return self._talk(video, sound)
        except media.MediaError as error:
            raise UnusableError(f"broken: {error}") from error

    def _talk(self, video: Video, sound: Samples) -> Talk:
        shown = sync_distance.frames_at_25(video.frames, video.fps)
        self._long_enough(len(shown), len(sound), "the video")
        found, kept = self._faces(video.path, shown)
        looks = [frame for frame, _ in found]
        least = face_track.needed(self.min_track, len(shown), len(looks))
        tracks = face_track.link(found, least)
        if not tracks:
            hits = sum(bool(boxes) for _, boxes in found)
            raise UnusableError(
                f"no_face: no face could be followed through the video (more than {least} "
                f"detections needed, {hits} of {len(looks)} frames show one)"
            )
        track = tracks[0]
        start = track.first * sync_distance.SAMPLES_PER_FRAME
        stop = (track.last + 1) * sync_distance.SAMPLES_PER_FRAME
        sound = sound[start:stop]
        windows = self._long_enough(len(track.boxes), len(sound), "the face track")
        _check_audible(sound, "the sound under the face track")
        used = windows + 4
        wanted = shown[track.first : track.first + used]
        pictures = (kept[n] for n in wanted) if kept else _repeated(video.path, wanted)
        places = face_track.smooth(track)[:used]
        crops = np.stack(list(face_track.crops(pictures, places)))
        facts = {
            "track_frames": len(track.boxes),
            "face_share": track.found / len(looks),
            "tracks": len(tracks),
            "detail": _defects(tracks, len(shown)),
        }
        return Talk(crops, mfcc(sound), windows, facts)

    def _faces(
        self, path: Path, shown: Sequence[int]
    ) -> tuple[list[tuple[int, list[faces.Box]]], dict[int, npt.NDArray[np.uint8]]]:
        """The boxes in every frame looked at, and all pictures by number, unless they are too many.

        A frame that is shown twice is searched once.
        """
        detect = DETECTORS[self.detector]
        search = Search(detect, FOLLOWERS.get(detect))
        looks = face_track.looked_at(len(shown), self.every)
        searched = {shown[i] for i in looks}
        boxes: dict[int, list[faces.Box]] = {}
        kept: dict[int, npt.NDArray[np.uint8]] = {}
        wanted = sorted(set(shown))
        for number, image in zip(wanted, media.iterate_frames(path, wanted), strict=True):
            if number in searched:
                boxes[number] = search.look(number, image)
            if image.nbytes * len(wanted) > _KEPT:
                break
            kept[number] = image
        if len(kept) < len(wanted):
            rest = sorted(searched - boxes.keys())
            for number, image in zip(rest, media.iterate_frames(path, rest), strict=True):
                boxes[number] = search.look(number, image)
        return [(i, boxes[shown[i]]) for i in looks], kept

    def _long_enough(self, frames: int, samples: int, what: str) -> int:
        """Windows to score; each shift must meet real sound in at least half of them."""
        windows = sync_distance.window_count(frames, samples)
        wanted = 2 * self.max_shift + 1
        if windows < wanted:
            raise UnusableError(
                f"short: {what} has {frames} frames at 25 fps and {samples / RATE:.2f} s of "
                f"sound, {wanted + 5} frames with sound are the least"
            )
        return windows


def _sound(video: Video) -> Samples:
    if video.audio_path is None:
        raise UnusableError("silent: the video has no sound")
    try:
        sound = media.read_audio(video.audio_path, RATE)
    except media.MediaError as error:
        raise UnusableError(f"broken: {error}") from error
    whole = np.clip(np.round(sound * 32768.0), -32768, 32767).astype(np.int16)
    _check_audible(whole, "the sound")
    return whole


def _check_audible(sound: Samples, what: str) -> None:
    if np.abs(sound.astype(np.int32)).max() < _SILENCE:
        raise UnusableError(f"silent: {what} is silence (below -60 dBFS)")


def _repeated(path: Path, indices: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of indices that do not fall: a video of few frames a second shows some twice."""
    left = media.iterate_frames(path, sorted(set(indices)))
    for _, group in groupby(indices):
        image = next(left)
        for _ in group:
            yield image


def _defects(tracks: Sequence[Track], frames: int) -> str:
    """What makes the scores doubtful, '' where nothing does."""
    first, *others = tracks
    parts = []
    if any(2 * len(t.boxes) >= len(first.boxes) and t.overlaps(first) for t in others):
        parts.append("several_faces: more than one face is in the picture; the longest was scored")
    if 2 * len(first.boxes) < frames:
        parts.append(f"face_lost: the face was followed in {len(first.boxes)} of {frames} frames")
    return "; ".join(parts)
