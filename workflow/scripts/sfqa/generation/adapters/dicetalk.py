"""DICE-Talk (2025): a picture, a sound and an emotion to a video at 25 fps, made like Sonic's.

Source: toto222/DICE-Talk at a8a92b164a3f552414d06a463a2b2e8eeb92db0b, demo.py.

- The file of the emotion is required; it is in the repository.
- For a seed of 0 the script uses that of config/inference/dice_talk.yaml, 72589. It is given here
  explicitly.
- The script creates the folder of the output, which fails for a name without a folder.
- The script does not notice a failed mux: the output can be missing after exit code 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.adapters.sonic import Sonic
from sfqa.generation.generator import Generator, Item, OptionValue, Run, format_number
from sfqa.options import Choice, Option, Options

VERSION = 1

#: The files of examples/emo in the repository.
EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")

OPTIONS: Options = {
    "emotion": Choice("neutral", EMOTIONS, "emotion of the face"),
    "ref_scale": Option(3.0, 0, 20, "strength of the picture's identity"),
    "emo_scale": Option(6.0, 0, 20, "strength of the emotion"),
}

#: The seed that the repository uses in place of 0.
_DEFAULT_SEED = 72589


class DiceTalk(Generator):
    """One process per pair; it writes the requested output file."""

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return Sonic's length: DICE-Talk is built on its code."""
        return Sonic().predict_sec(seconds, options)

    def build_command(self, run: Run) -> list[str]:
        """Return the official call, with options only if they differ from its defaults."""
        (item,) = run.items
        arguments = [
            str(run.python), "demo.py",
            "--image_path", str(item.image), "--audio_path", str(item.audio),
            "--emotion_path", f"examples/emo/{run.text_option('emotion')}.npy",
            "--output_path", str(item.output), "--seed", str(run.seed or _DEFAULT_SEED),
        ]  # fmt: skip
        for name in ("ref_scale", "emo_scale"):
            if run.number_option(name) != OPTIONS[name].default:
                arguments += [f"--{name}", format_number(run.number_option(name))]
        return arguments

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return the output, without the silent ``_noaudio`` that a failed mux leaves."""
        return [item.output] if item.output.is_file() else []


GENERATOR = DiceTalk()
