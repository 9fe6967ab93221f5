"""Ask VideoLLaMA2 about videos, inside its own environment: python ask_videollama2.py JOB RESULTS.

JOB is a JSON file of :mod:`sfqa.features.extractors.videollama2`. RESULTS gets a line of JSON for
each video as soon as it is known: the answer, the logits of the level words, or why it has none.
The official calls are ``model_init``, its processor and ``mm_infer``. Logits, which that does
not return, come from the same model with the same chat, continued by the start of an answer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(job_path: str, results_path: str) -> None:
    """Load the model once and write a line for each video of the job."""
    sys.path.insert(0, str(Path.cwd()))  # the repository
    from videollama2 import mm_infer, model_init
    from videollama2.mm_utils import load_audio_from_video

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    model, processor, tokenizer = model_init(job["model"], **job["loading"])
    for video in job["videos"]:
        result: dict[str, Any] = {"video": Path(video).stem}
        try:
            # The official loader turns sound that it cannot read into silence and goes on.
            load_audio_from_video(video)
        except Exception as error:
            result["silent"] = f"{type(error).__name__}: {error}"[:200]
        else:
            inputs = processor["video"](video, va=True)
            if job["prompt"]:
                result["answer"] = mm_infer(
                    inputs, job["prompt"], model=model, tokenizer=tokenizer, modal="video",
                    do_sample=False, max_new_tokens=job["max_new_tokens"],
                )  # fmt: skip
                # mm_infer does not say whether the answer ended. Of a finished one the limit leaves
                # a token for the end, and mm_infer may have removed another one, a gap.
                count = len(tokenizer(result["answer"], add_special_tokens=False).input_ids)
                result["cut"] = count >= job["max_new_tokens"] - 1
            if job["level_prompts"]:
                result["levels"] = [
                    compute_levels(model, tokenizer, inputs, prompt, prefix, job["words"])
                    for prompt, prefix in zip(job["level_prompts"], job["level_prefixes"])  # noqa: B905
                ]
        with open(results_path, "a", encoding="utf-8") as results:
            results.write(json.dumps(result) + "\n")


def compute_levels(
    model: Any, tokenizer: Any, inputs: Any, prompt: str, prefix: str, words: list[str]
) -> list[float]:
    """Return the logits of the words as the next one after the beginning of an answer.

    Raises ``ValueError`` for a word that is not one token.
    """
    from videollama2.constants import DEFAULT_VIDEO_TOKEN
    from videollama2.mm_utils import tokenizer_multimodal_token

    message = [{"role": "user", "content": f"{DEFAULT_VIDEO_TOKEN}\n{prompt}"}]
    chat = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    token_ids = tokenizer_multimodal_token(
        chat + prefix, tokenizer, DEFAULT_VIDEO_TOKEN, return_tensors="pt"
    )
    token_ids = token_ids.unsqueeze(0).long().cuda()
    output = model.generate(
        token_ids,
        attention_mask=token_ids.ne(tokenizer.pad_token_id).long().cuda(),
        images=[({key: value.half().cuda() for key, value in inputs.items()}, "video")],
        do_sample=False,
        max_new_tokens=1,
        use_cache=True,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=tokenizer.eos_token_id,
    )
    logits = output.logits[0][0]
    levels = []
    for word in words:
        tokens = tokenizer(f" {word}", add_special_tokens=False).input_ids
        if len(tokens) != 1:
            raise ValueError(f"the word {word!r} is {len(tokens)} tokens")
        levels.append(float(logits[tokens[0]]))
    return levels


if __name__ == "__main__":
    main(*sys.argv[1:])
