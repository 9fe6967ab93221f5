"""SkyReels-A1 (2025): a picture and a sound to a video of 720x480 at 12 fps, by FLAME coefficients.

Source: SkyworkAI/SkyReels-A1 at 52ee51a8e30798273a67b5c5f5bc1d6db360f7d7,
inference_audio_long_video.py (the whole sound) or inference_audio.py (47 frames, 3.9 s).

- There are no options except the choice of the script, and the motion is drawn without a seed, so
  two runs differ.
- Paths are cut at their first dot, so no path may hold a dot before the suffix.
- A failed mux is only printed, and the exit code is 0.
- Beside the result are a silent ``_output.mp4`` and side-by-side ``_merge`` videos.
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
#: The short script makes 49 frames and writes these.
_SHORT_FRAMES = 47


class SkyReels(Generator):
    """One process per pair; the result is named after both inputs."""

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return the length of the clip, or at most 3.9 s for the short script.

        >>> [round(SkyReels().predict_sec(6.0, {"script": s}), 2) for s in ("long", "short")]
        [6.0, 3.92]
        """
        return min(seconds, _SHORT_FRAMES / _FPS) if options["script"] == "short" else seconds

    def prepare(self, run: Run) -> None:
        """Raise :class:`UserError` for a path with a dot: the sound would go elsewhere."""
        if "." in str(run.work):
            raise UserError(
                f"SkyReels-A1: the work folder {run.work} has a dot in its path, at which the "
                "generator would cut it; choose a folder without one"
            )

    def build_command(self, run: Run) -> list[str]:
        """Return the official call; everything else is fixed in the script."""
        (item,) = run.items
        return [
            str(run.python), _SCRIPTS[run.text_option("script")],
            "--image_path", str(item.image), "--driving_audio_path", str(item.audio),
            "--output_path", str(run.work),
        ]  # fmt: skip

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return the video with sound, named after both inputs up to their first dots."""
        stem = f"{_name_until_dot(item.image)}-{_name_until_dot(item.audio)}"
        path = run.work / f"{stem}_output_audio.mp4"
        return [path] if path.is_file() else []


def _name_until_dot(path: Path) -> str:
    return path.name.split(".")[0]


GENERATOR = SkyReels()
