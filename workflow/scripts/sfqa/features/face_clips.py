"""The input of SyncNet: a face track cropped from the pictures, with the sound under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sfqa import media, timing
from sfqa.features import face_track, sync_distance
from sfqa.features.base import UnusableError, Video
from sfqa.features.face_track import Image, Track
from sfqa.features.mfcc import RATE, compute_mfcc

#: Sound whose largest sample is smaller (-60 dBFS) counts as silence.
_SILENCE = 33

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class FaceClip:
    """The input of SyncNet: the longest face track of a video.

    ``crops`` (windows + 4, 224, 224, 3), uint8 BGR; ``cepstra`` (columns, 13) at 100 Hz; ``facts``
    are the cells of the row that do not depend on SyncNet.
    """

    crops: npt.NDArray[np.uint8]
    cepstra: npt.NDArray[np.float64]
    windows: int
    facts: dict[str, Any]


def make_face_clip(
    path: Path,
    sound: Samples,
    frames_shown: Sequence[int],
    tracks: Sequence[Track],
    searched: int,
    max_shift: int,
    pictures_by_frame: Mapping[int, Image] | None = None,
) -> FaceClip:
    """Return the first of the tracks, cropped, with its sound.

    ``frames_shown`` are the video's frames at 25 per second, of which ``searched`` were searched
    for faces. Pictures that ``pictures_by_frame`` does not have are decoded. Raises
    :class:`UnusableError` for a track that is too short and for silence under it.
    """
    track = tracks[0]
    start = track.first * sync_distance.SAMPLES_PER_FRAME
    stop = (track.last + 1) * sync_distance.SAMPLES_PER_FRAME
    sound = sound[start:stop]
    windows = count_windows(len(track.boxes), len(sound), max_shift, "the face track")
    check_audible(sound, "the sound under the face track")
    frame_count = windows + 4
    needed_frames = frames_shown[track.first : track.first + frame_count]
    pictures: Iterable[Image] = (
        (pictures_by_frame[n] for n in needed_frames)
        if pictures_by_frame
        else _decode_repeated(path, needed_frames)
    )
    positions = face_track.smooth_track(track)[:frame_count]
    crops = np.stack(list(face_track.crop_faces(pictures, positions)))
    facts = {
        "track_frames": len(track.boxes),
        "face_share": track.found / searched,
        "tracks": len(tracks),
        "detail": _list_defects(tracks, len(frames_shown)),
    }
    return FaceClip(crops, compute_mfcc(sound), windows, facts)


def list_frames_shown(video: Video) -> list[int]:
    """Return the frames of a video to show at 25 frames per second."""
    if video.variable_rate:
        frame_indices: list[int] = timing.list_shown_frames(video.path, sync_distance.FPS).tolist()
        return frame_indices
    return sync_distance.frames_at_25(video.frames, video.fps)


def count_windows(frames: int, samples: int, max_shift: int, what: str) -> int:
    """Return the number of windows; half of them must have real sound at each shift.

    Raises :class:`UnusableError` for fewer; ``what`` names the part of the video in its sentence.
    """
    windows = sync_distance.window_count(frames, samples)
    needed = 2 * max_shift + 1
    if windows < needed:
        raise UnusableError(
            f"short: {what} has {frames} frames at 25 fps and {samples / RATE:.2f} s of "
            f"sound, {needed + 5} frames with sound are the least"
        )
    return windows


def read_sound(video: Video) -> Samples:
    """Return the samples of a video's sound at 16 kHz; raises :class:`UnusableError`."""
    if video.audio_path is None:
        raise UnusableError("silent: the video has no sound")
    try:
        sound = media.read_audio(video.audio_path, RATE)
    except media.MediaError as error:
        raise UnusableError(f"broken: {error}") from error
    samples = np.clip(np.round(sound * 32768.0), -32768, 32767).astype(np.int16)
    check_audible(samples, "the sound")
    return samples


def check_audible(sound: Samples, what: str) -> None:
    """Raise :class:`UnusableError` for silence; ``what`` names the sound in its sentence."""
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
