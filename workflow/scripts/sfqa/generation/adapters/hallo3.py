"""Hallo3 (2025): pictures, sounds and a prompt to 480x480 (square pictures) at 25 fps.

Source: fudan-generative-vision/hallo3 at e342dcec7ec17cdf26da6c97679c0414c9738a3c,
hallo3/sample_video.py as scripts/inference_long_batch.sh calls it.
Quirks: a text prompt is compulsory; jobs are lines of prompt, picture and sound between '@@', which
none of them may hold; distributed training's variables must be set, with a port of the machine that
no other run uses; separated voices are kept by the sound's name in ``.cache`` of the current
folder; only WAV is read. One list may hold many pairs, but one that fails ends the whole run, and
the seed is set once for the list: a video is the same again only in the same list. The number in a
result's name counts within one line (always 000000) in every copy of the script that could be
read; any number is taken, since each line has a folder of its own.
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

_BETWEEN = "@@"
_LIST = "input.txt"
_RESULT = re.compile(r"\d{6}_with_audio\.mp4")


class Hallo3(Generator):
    """One run, a list of pairs; each result lies in a folder named after both inputs."""

    # One pair that fails costs its list a second, single, try.
    batch = 8
    private = (".cache",)

    def prepare(self, run: Run) -> None:
        """Write one line for each pair; raise :class:`UserError` for a prompt that breaks it."""
        text = "".join(f"{_line(run, item)}\n" for item in run.items)
        (run.work / _LIST).write_text(text, encoding="utf-8")

    def command(self, run: Run) -> list[str]:
        """The official call; the sampling options stand in the repository's configs."""
        return [
            str(run.python), "hallo3/sample_video.py",
            "--base", "./configs/cogvideox_5b_i2v_s2.yaml", "./configs/inference.yaml",
            "--seed", str(run.seed),
            "--input-file", str(run.work / _LIST), "--output-dir", str(run.work),
        ]  # fmt: skip

    def environment(self, run: Run) -> dict[str, str]:
        """One process of one, and a port that was free a moment ago."""
        return {
            "WORLD_SIZE": "1",
            "RANK": "0",
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "MASTER_PORT": str(_free_port()),
        }

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Videos with sound in the folder of this pair and seed; not the silent ``000000.mp4``."""
        folder = run.work / f"{item.image.stem}-{item.audio.stem}-seed_{run.seed}"
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if _RESULT.fullmatch(path.name))


def _line(run: Run, item: Item) -> str:
    prompt = " ".join((item.prompt or run.text("prompt")).split())
    if not prompt:
        raise UserError(
            f"Hallo3, sample {item.sample_id}: there is no prompt, and Hallo3 needs one; write one "
            "for the pair or as the method's option 'prompt'"
        )
    parts = [prompt, str(item.image), str(item.audio)]
    line = _BETWEEN.join(parts)
    # A prompt that ends with '@' moves the border as well.
    if line.split(_BETWEEN) != parts:
        raise UserError(
            f"Hallo3, sample {item.sample_id}: the prompt {prompt!r} or a path holds "
            f"{_BETWEEN!r} or ends with '@', which Hallo3's list cannot hold; reword it"
        )
    return line


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


GENERATOR = Hallo3()
