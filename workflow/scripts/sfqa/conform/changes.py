"""Describe what changes within a video: size, rotation, form of the sound, its clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sfqa import media

#: Changes that are described one by one; more of them are counted.
_DESCRIBED = 3


def list_change_flaws(presentation: media.Presentation) -> Iterator[tuple[str, str]]:
    """Yield the flaws of a video that changes within the file, as pairs of word and sentence."""
    sentences = [*_describe_picture_changes(presentation), *_describe_sound_changes(presentation)]
    if sentences:
        yield "changing", _join_sentences(sentences)
    if presentation.is_rejoined:
        yield (
            "joined",
            f"recordings one after the other: the clock starts anew at {_list_times(presentation)}",
        )
    if presentation.lost_frames:
        yield (
            "lost_frames",
            f"the clock goes back at {_list_times(presentation)}, so that "
            f"{presentation.lost_frames} frames come too late to be shown; join the recordings "
            "with ffmpeg's concat",
        )


def _describe_picture_changes(presentation: media.Presentation) -> Iterator[str]:
    fixed_words = ", but all are shown as the first" if presentation.has_fixed_aspect else ""
    for (_, earlier), (at_sec, later) in pairwise(presentation.picture_changes):
        if earlier[:2] != later[:2]:
            yield (
                f"the picture changes from {earlier.width}x{earlier.height} to "
                f"{later.width}x{later.height} at {at_sec:.2f} s"
            )
        if earlier.pixel_aspect != later.pixel_aspect:
            yield (
                f"the shape of pixels changes from {earlier.pixel_aspect:.4g}:1 to "
                f"{later.pixel_aspect:.4g}:1 at {at_sec:.2f} s{fixed_words}"
            )
        if earlier.rotation != later.rotation:
            yield (
                f"the rotation changes from {earlier.rotation} to {later.rotation} degrees at "
                f"{at_sec:.2f} s, but all frames are turned as the first"
            )


def _describe_sound_changes(presentation: media.Presentation) -> Iterator[str]:
    for (_, earlier), (at_sec, later) in pairwise(presentation.sound_changes):
        if (earlier.rate, earlier.layout) != (later.rate, later.layout):
            yield (
                f"the sound changes from {earlier.layout} at {earlier.rate} Hz to {later.layout} "
                f"at {later.rate} Hz at {at_sec:.2f} s"
            )


def _join_sentences(sentences: Sequence[str]) -> str:
    more = len(sentences) - _DESCRIBED
    listed = ", ".join(sentences[:_DESCRIBED])
    return f"{listed}, and {more} more times" if more > 0 else listed


def _list_times(presentation: media.Presentation) -> str:
    times = [f"{time:.2f} s" for time in presentation.jump_times]
    more = len(times) - _DESCRIBED
    listed = ", ".join(times[:_DESCRIBED])
    return f"{listed} and {more} more times" if more > 0 else listed
