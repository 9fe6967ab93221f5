"""SkyReels-A1 (2025): one picture and one sound to 720x480 at 12 fps, through FLAME coefficients.

Source: SkyworkAI/SkyReels-A1 at 52ee51a8e30798273a67b5c5f5bc1d6db360f7d7,
inference_audio_long_video.py (the whole sound) or inference_audio.py (47 frames, 3.9 s).
Quirks: nothing can be chosen but the script, and the motion is drawn unseeded, so that two runs
differ; paths are cut at their first dot, wherever it is, so that none may hold one before the
suffix; a failed mux is only printed, and the script ends well; beside the result lie a silent
``_output.mp4`` and side-by-side ``_merge`` videos; 12 fps, whatever a metric assumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.errors import UserError
from sfqa.generation.generator import Generator, Item, OptionValue, Run
from sfqa.options import Choice, Options

VERSION = 1

_SCRIPTS = {"long": "inference_audio_long_video.py", "short": "inference_audio.py"}

OPTIONS: Options = {
    "script": Choice("long", ("long", "short"), "long: the whole clip; short: 47 frames of it"),
}

_FPS = 12
#: Of the 49 frames of the short script.
_KEPT_FRAMES = 47


class SkyReels(Generator):
    """One run, one pair; the result is named after both inputs."""

    def expected_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """The whole clip, or its first 3.9 s.

        >>> [round(SkyReels().expected_sec(6.0, {"script": s}), 2) for s in ("long", "short")]
        [6.0, 3.92]
        """
        return min(seconds, _KEPT_FRAMES / _FPS) if options["script"] == "short" else seconds

    def prepare(self, run: Run) -> None:
        """Refuse a folder with a dot: the sound would be written elsewhere, and nobody told."""
        if "." in str(run.work):
            raise UserError(
                f"SkyReels-A1: the work folder {run.work} has a dot in its path, at which the "
                "generator would cut it; choose a folder without one"
            )

    def command(self, run: Run) -> list[str]:
        """The official call; all else is fixed in the script."""
        (item,) = run.items
        return [
            str(run.python), _SCRIPTS[run.text("script")],
            "--image_path", str(item.image), "--driving_audio_path", str(item.audio),
            "--output_path", str(run.work),
        ]  # fmt: skip

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """The video with sound, named by both inputs up to their first dots."""
        stem = f"{_until_dot(item.image)}-{_until_dot(item.audio)}"
        path = run.work / f"{stem}_output_audio.mp4"
        return [path] if path.is_file() else []


def _until_dot(path: Path) -> str:
    return path.name.split(".")[0]


GENERATOR = SkyReels()
