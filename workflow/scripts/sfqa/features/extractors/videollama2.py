"""What VideoLLaMA2.1-7B-AV, a language model that sees and hears, says about a video.

Source: DAMO-NLP-SG/VideoLLaMA2, branch audio_visual, at 8cedfbda23e779246112cb963416b95415448a91.

- The branch matters: ``process_video`` of the main branch takes no sound.
- It sees 16 frames, resized to 384x384, and hears 8 parts of 2 s, evenly spaced, at 16 kHz mono.
- Sound that it cannot read becomes silence, and the model goes on. Here this is a failed row.
- Its code asks for a GPU. All videos of a job go through one process, which loads the model once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sfqa.errors import UnusableError, UserError
from sfqa.features import lmm_answers
from sfqa.features.base import Feature, Video
from sfqa.features.command_calls import (
    CommandRun,
    Result,
    index_results,
    read_json_lines,
)
from sfqa.features.command_model import CommandExtractor
from sfqa.features.lmm_options import LEVEL_WORDS, declare_answer_options
from sfqa.features.weights import Weights
from sfqa.options import Choice, Options
from sfqa.untrusted.documents import read_json

VERSION = 2
WEIGHTS = True
COMMAND = True
OPTIONS: Options = {
    **declare_answer_options(),
    "load": Choice(
        "16bit", ("16bit", "8bit", "4bit"),
        "number format of the weights; 8bit and 4bit, by bitsandbytes, take less memory and give "
        "other numbers",
    ),
}  # fmt: skip

_MODEL, _TOWER = "VideoLLaMA2.1-7B-AV", "siglip-so400m-patch14-384"
_LOADING = {"16bit": {}, "8bit": {"load_8bit": True}, "4bit": {"load_4bit": True}}
_SCRIPT = Path(__file__).parents[1] / "programs" / "ask_videollama2.py"


class Extractor(CommandExtractor):
    """Frames and sound -> an answer with two numbers, and the logits of five level words."""

    FEATURES: ClassVar[tuple[Feature, ...]] = lmm_answers.FEATURES
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")
    streams = True
    optional = tuple(feature.name for feature in FEATURES)  # scoring asks for some of them

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        self.questions = lmm_answers.Questions(options)
        super().__init__(options, weights, device)

    def check_options(self) -> None:
        """Raise :class:`UserError` without a GPU: the repository's code moves its inputs to one."""
        if self.device == "cpu":
            raise UserError(
                f"{_MODEL}: its code runs on a GPU only, and this job has none; run it where "
                "there is one, or leave the model out"
            )

    @staticmethod
    def check_video(video: Video) -> None:
        """Raise :class:`UnusableError` for a video without sound, which it would take as silent."""
        if video.audio_path is None:
            raise UnusableError("silent: the video has no sound")

    def prepare(self, run: CommandRun) -> None:
        """Write the questions, and a folder of the model whose settings name the local towers."""
        folder = run.work / _MODEL
        folder.mkdir()
        source = run.checkpoints / _MODEL
        for path in sorted(source.iterdir()):
            if path.name != "config.json":
                (folder / path.name).symlink_to(path)
        settings = read_json(source / "config.json")
        # Relative to the repository: the code tells the kind of tower from words in its path.
        settings["mm_vision_tower"] = str((run.checkpoints / _TOWER).relative_to(run.cwd))
        if "mm_audio_tower" in settings:
            settings["mm_audio_tower"] = str(folder / "audio_tower.bin")
        (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
        questions = self.questions
        job = {
            "model": str(folder),
            "loading": _LOADING[run.options["load"]],
            "videos": [str(item.video) for item in run.items],
            "prompt": questions.prompt if questions.asks_answer else "",
            "max_new_tokens": run.options["max_new_tokens"],
            "level_prompts": questions.level_prompts if questions.asks_levels else [],
            "level_prefixes": questions.level_prefixes if questions.asks_levels else [],
            "words": list(LEVEL_WORDS),
        }
        (run.work / "job.json").write_text(json.dumps(job), encoding="utf-8")

    def build_command(self, run: CommandRun) -> list[str]:
        """Return the call of our script, which makes the official calls."""
        return [
            str(run.python), str(_SCRIPT), str(run.work / "job.json"),
            str(run.work / "results.jsonl"),
        ]  # fmt: skip

    def read_results(self, run: CommandRun) -> Mapping[str, Result]:
        """Return the numbers of each answer so far."""
        lines = read_json_lines(run.work / "results.jsonl")
        return index_results((line["video"], self._read_result(line)) for line in lines)

    def _read_result(self, line: Mapping[str, Any]) -> Result:
        if "silent" in line:
            return UnusableError(f"silent: the model cannot read the sound ({line['silent']})")
        levels = line.get("levels")
        try:
            if line.get("cut"):
                self.questions.read_answer(line["answer"])
                self.questions.check_end(line["answer"], is_cut=True)
            return self.questions.make_row(
                line.get("answer"), None if levels is None else np.asarray(levels, np.float32)
            )
        except UnusableError as error:
            return error
