"""Hallo3 (2025): pictures, sounds and prompts to videos of 480x480 (square pictures) at 25 fps.

Source: fudan-generative-vision/hallo3 at e342dcec7ec17cdf26da6c97679c0414c9738a3c,
hallo3/sample_video.py, called as in scripts/inference_long_batch.sh.

- A text prompt is required.
- A job is a line of prompt, picture and sound, separated by '@@', which none of them may contain.
- The variables of distributed training must be set, with a port that no other process uses.
- Separated voices are stored under the sound's name in ``.cache`` of the current folder.
- Only WAV is read.
- One process takes a list of pairs, and one pair that fails ends it. The seed is set once for the
  list: a video is reproduced only by the same list.
- The number in a result's name counts within one line (always 000000) in every copy of the script
  that could be read. Any number is accepted, since each line has a folder of its own.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from pathlib import Path

from sfqa.errors import UserError
from sfqa.generation.generator import Generator, Item, Run
from sfqa.options import Options, Text

VERSION = 1

OPTIONS: Options = {
    "prompt": Text("A person is singing.", "what is seen, in English, for pairs without a prompt"),
}

_SEPARATOR = "@@"
_LIST = "input.txt"
_RESULT = re.compile(r"\d{6}_with_audio\.mp4")


class Hallo3(Generator):
    """One process for a list of pairs; each result is in a folder named after both inputs."""

    # A pair that fails ends the process: the other pairs are then tried again, alone.
    batch = 8
    private = (".cache",)

    def prepare(self, run: Run) -> None:
        """Write a line per pair; raises :class:`UserError` for a prompt that breaks the format."""
        text = "".join(f"{_format_line(run, item)}\n" for item in run.items)
        (run.work / _LIST).write_text(text, encoding="utf-8")

    def build_command(self, run: Run) -> list[str]:
        """Return the official call; the sampling options are in the repository's configs."""
        return [
            str(run.python), "hallo3/sample_video.py",
            "--base", "./configs/cogvideox_5b_i2v_s2.yaml", "./configs/inference.yaml",
            "--seed", str(run.seed),
            "--input-file", str(run.work / _LIST), "--output-dir", str(run.work),
        ]  # fmt: skip

    def build_environment(self, run: Run) -> dict[str, str]:
        """Return the variables of a single process, with a port that was free a moment ago."""
        return {
            "WORLD_SIZE": "1",
            "RANK": "0",
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "MASTER_PORT": str(_find_free_port()),
        }

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return videos with sound of this pair and seed, without the silent ``000000.mp4``."""
        folder = run.work / f"{item.image.stem}-{item.audio.stem}-seed_{run.seed}"
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if _RESULT.fullmatch(path.name))


def _format_line(run: Run, item: Item) -> str:
    prompt = " ".join((item.prompt or run.text_option("prompt")).split())
    if not prompt:
        raise UserError(
            f"Hallo3, sample {item.sample_id}: there is no prompt, and Hallo3 needs one; write one "
            "for the pair or as the method's option 'prompt'"
        )
    parts = [prompt, str(item.image), str(item.audio)]
    line = _SEPARATOR.join(parts)
    # A prompt that ends with '@' also moves the separator.
    if line.split(_SEPARATOR) != parts:
        raise UserError(
            f"Hallo3, sample {item.sample_id}: the prompt {prompt!r} or a path holds "
            f"{_SEPARATOR!r} or ends with '@', which Hallo3's list cannot hold; reword it"
        )
    return line


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


GENERATOR = Hallo3()
