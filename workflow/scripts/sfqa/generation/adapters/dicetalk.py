"""DICE-Talk (2025): one picture, one sound and an emotion to a video at 25 fps, made as Sonic's.

Source: toto222/DICE-Talk at a8a92b164a3f552414d06a463a2b2e8eeb92db0b, demo.py.
Quirks: the emotion's file is needed, and lies in the repository; a seed of 0 is taken for none, and
the one of config/inference/dice_talk.yaml, 72589, is used, so that it is given here by itself; the
output's folder is made, which fails for a name without one; a failed mux is not noticed, so that
the output may be missing though the script ends well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.adapters.sonic import Sonic
from sfqa.generation.generator import Generator, Item, OptionValue, Run, formatted
from sfqa.options import Choice, Option, Options

VERSION = 1

#: The files of examples/emo in the repository.
EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")

OPTIONS: Options = {
    "emotion": Choice("neutral", EMOTIONS, "emotion of the face"),
    "ref_scale": Option(3.0, 0, 20, "strength of the picture's identity"),
    "emo_scale": Option(6.0, 0, 20, "strength of the emotion"),
}

#: What the repository takes in place of 0.
_UNSET_SEED = 72589


class DiceTalk(Generator):
    """One run, one pair; the output is where it is asked for."""

    def expected_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """As Sonic's, whose code base it is."""
        return Sonic().expected_sec(seconds, options)

    def command(self, run: Run) -> list[str]:
        """The official call; options only where they differ from the official defaults."""
        (item,) = run.items
        arguments = [
            str(run.python), "demo.py",
            "--image_path", str(item.image), "--audio_path", str(item.audio),
            "--emotion_path", f"examples/emo/{run.text('emotion')}.npy",
            "--output_path", str(item.output), "--seed", str(run.seed or _UNSET_SEED),
        ]  # fmt: skip
        for name in ("ref_scale", "emo_scale"):
            if run.number(name) != OPTIONS[name].default:
                arguments += [f"--{name}", formatted(run.number(name))]
        return arguments

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """The output alone; not the silent ``_noaudio`` that a failed mux leaves."""
        return [item.output] if item.output.is_file() else []


GENERATOR = DiceTalk()
