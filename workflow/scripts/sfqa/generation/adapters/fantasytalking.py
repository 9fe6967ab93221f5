"""FantasyTalking (2025): a picture, a sound and a prompt to a video at 23 fps with a 512 px side.

Source: Fantasy-AMAP/fantasy-talking at 8c2d0c9ce2441eb02b5cf1c10d23dbab5ce06677, infer.py.

- The script makes at most 81 frames (3.52 s) and drops the rest of the sound. Here the number of
  frames is computed from the clip and passed as ``--max_num_frames``, so that the whole clip is
  sung; the network was not trained for that. With the option 81 the official call is used.
- The default prompt describes a woman who talks.
- Results are named by the second; files that begin with ``tmp_`` have no sound.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.errors import UserError
from sfqa.generation.generator import Generator, Item, OptionValue, Run
from sfqa.options import Option, Options, Text

VERSION = 1

_FPS = 23
_OFFICIAL_FRAMES = 81

OPTIONS: Options = {
    "max_num_frames": Option(
        0, 0, 4001, "0: as many as the clip needs; else 4n+1; 81: the script's limit",
        whole=True,
    ),
    "num_persistent_param_in_dit": Option(
        -1, -1, 1e11, "parameters kept on the GPU; -1: all (40 GB), 7e9: 20 GB, 0: 5 GB",
        whole=True,
    ),
    "prompt": Text("A woman is talking.", "what is seen, for pairs without a prompt"),
}  # fmt: skip


def count_frames(seconds: float) -> int:
    """Return the number of frames for a whole clip: 4n + 1, as the script computes it.

    >>> [count_frames(s) for s in (3.4, 5.0, 7.0)]
    [81, 117, 165]
    """
    return math.floor(_FPS * seconds / 4) * 4 + 5


class FantasyTalking(Generator):
    """One process per pair; the result is named after both inputs and the second."""

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return the length of the clip, or that of the limit if it is shorter.

        >>> [round(FantasyTalking().predict_sec(6.0, {"max_num_frames": n}), 2) for n in (0, 81)]
        [6.0, 3.52]
        """
        return min(seconds, _get_frame_limit(seconds, options["max_num_frames"]) / _FPS)

    def build_command(self, run: Run) -> list[str]:
        """Return the official call, with options only if they differ from its defaults."""
        (item,) = run.items
        arguments = [
            str(run.python), "infer.py",
            "--image_path", str(item.image), "--audio_path", str(item.audio),
            "--output_dir", str(run.work), "--prompt", item.prompt or run.text_option("prompt"),
            "--seed", str(run.seed),
            "--wan_model_dir", str(run.checkpoints / "Wan2.1-I2V-14B-720P"),
            "--fantasytalking_model_path", str(run.checkpoints / "fantasytalking_model.ckpt"),
            "--wav2vec_model_dir", str(run.checkpoints / "wav2vec2-base-960h"),
        ]  # fmt: skip
        if run.number_option("max_num_frames") != _OFFICIAL_FRAMES:
            limit = _get_frame_limit(item.seconds, run.options["max_num_frames"])
            arguments += ["--max_num_frames", str(limit)]
        name = "num_persistent_param_in_dit"
        if run.number_option(name) != OPTIONS[name].default:
            arguments += [f"--{name}", str(int(run.number_option(name)))]
        return arguments

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return videos of both inputs and any second, without the silent ``tmp_`` ones."""
        stem = f"{item.image.stem}_{item.audio.stem}_"
        name = re.compile(re.escape(stem) + r"\d{8}_\d{6}\.mp4")
        paths = run.work.glob(f"{glob.escape(stem)}*.mp4")
        return sorted(path for path in paths if name.fullmatch(path.name))


def _get_frame_limit(seconds: float, option: OptionValue) -> int:
    limit = int(float(option)) or count_frames(seconds)
    if limit < 5 or limit % 4 != 1:
        raise UserError(
            f"FantasyTalking: option max_num_frames is {limit}; give 0 or one more than a "
            "multiple of 4, such as 81 or 117"
        )
    return limit


GENERATOR = FantasyTalking()
