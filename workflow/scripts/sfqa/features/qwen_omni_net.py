"""Qwen2.5-Omni's thinker, the part that writes text, as transformers has it, from local files.

Frames and sound go to the processor as arrays that this project decoded, so that no package beside
transformers is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import transformers

from sfqa.arrays import Floats32
from sfqa.errors import UserError, is_out_of_memory
from sfqa.features.lmm_options import LEVEL_WORDS
from sfqa.features.qwen_omni_input import HEARD_SECONDS, SAMPLE_RATE
from sfqa.features.qwen_omni_tokens import SPECIAL_TOKENS
from sfqa.features.weights import Weights
from sfqa.untrusted.documents import read_json

if TYPE_CHECKING:
    import torch

#: Files beside the first part of the weights, by part: the names that the publisher gives them.
PARTS = {
    "second_shard": "model-00002-of-00003.safetensors",
    "third_shard": "model-00003-of-00003.safetensors",
    "settings": "config.json",
}
_FIRST_SHARD = "model-00001-of-00003.safetensors"
_SHARDS = (_FIRST_SHARD, PARTS["second_shard"], PARTS["third_shard"])
# Pixels of a frame after resizing, at least.
_LEAST_PIXELS = 128 * 28 * 28
_ROPE = {"rope_type": "default", "rope_theta": 1_000_000.0}
#: Sizes of networks with random weights; those of published weights are in their settings. "3b" has
#: the sizes of the language model Qwen2.5-3B, "tiny" those of a test.
SIZES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "3b": {
        "text_config": {
            "vocab_size": 151_936, "hidden_size": 2048, "intermediate_size": 11_008,
            "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2,
            "rope_parameters": {**_ROPE, "mrope_section": [16, 24, 24]},
        },
        "vision_config": {"out_hidden_size": 2048},
        "audio_config": {"output_dim": 2048},
    },
    "tiny": {
        "text_config": {
            "vocab_size": 151_936, "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rope_parameters": {**_ROPE, "mrope_section": [2, 3, 3]},
        },
        "vision_config": {
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
            "out_hidden_size": 64, "fullatt_block_indexes": [1],
        },
        "audio_config": {
            "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64, "output_dim": 64,
        },
    },
}  # fmt: skip
# A size of each part of the network, by which its settings are recognised.
_SIZES_IN_SETTINGS = {
    "text_config": "num_hidden_layers", "vision_config": "depth", "audio_config": "encoder_layers",
}  # fmt: skip
_TOKEN_SETTINGS = {
    "audio_token_index": SPECIAL_TOKENS["<|AUDIO|>"],
    "image_token_index": SPECIAL_TOKENS["<|IMAGE|>"],
    "video_token_index": SPECIAL_TOKENS["<|VIDEO|>"],
    "audio_start_token_id": SPECIAL_TOKENS["<|audio_bos|>"],
    "audio_end_token_id": SPECIAL_TOKENS["<|audio_eos|>"],
    "vision_start_token_id": SPECIAL_TOKENS["<|vision_bos|>"],
    "vision_end_token_id": SPECIAL_TOKENS["<|vision_eos|>"],
}


def format_chat(prompt: str, answer: str = "") -> str:
    """Return the chat of one video and a prompt, up to the beginning of the model's answer.

    It is what the publisher's chat template makes; without a system message it adds that of Qwen.
    """
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"<|vision_bos|><|VIDEO|><|vision_eos|>{prompt}<|im_end|>\n<|im_start|>assistant\n{answer}"
    )


def build_processor(tokenizer: Any) -> Any:
    """Return the processor of chats, frames and sound, with the settings of the publisher."""
    processor_class: Any = transformers.Qwen2_5OmniProcessor
    return processor_class(
        image_processor=transformers.Qwen2VLImageProcessor(),  # required, and not used
        video_processor=transformers.Qwen2VLVideoProcessor(),
        feature_extractor=transformers.WhisperFeatureExtractor(
            feature_size=128, sampling_rate=SAMPLE_RATE, hop_length=160, n_fft=400,
            chunk_length=HEARD_SECONDS, return_attention_mask=True,
        ),
        tokenizer=tokenizer,
    )  # fmt: skip


def prepare_inputs(
    processor: Any,
    chat: str,
    frames: npt.NDArray[np.uint8],
    sound: Floats32 | None,
    frames_per_second: float,
    most_pixels: int,
) -> dict[str, Any]:
    """Return what the model is called with, for frames (n, height, width, 3) and sound (samples,).

    ``use_audio_in_video`` is among it, and true only if there is sound: with another value the
    model gives all tokens behind the video wrong positions without an error.
    """
    audio: dict[str, Any] = {}
    if sound is not None:
        audio = {
            "audio": [sound], "load_audio_from_video": True, "audio_from_video_indices": [0]
        }  # fmt: skip
    inputs = processor(
        text=[chat], videos=[frames], **audio,
        # The frames are chosen already; `fps` says how far apart they are.
        videos_kwargs={
            "fps": frames_per_second, "do_sample_frames": False, "cap_pixels_per_frame": True,
            "size": {"shortest_edge": _LEAST_PIXELS, "longest_edge": most_pixels},
        },
        return_tensors="pt",
    )  # fmt: skip
    return {**inputs, "use_audio_in_video": "input_features" in inputs}


def replace_chat(processor: Any, inputs: Mapping[str, Any], chat: str) -> dict[str, Any]:
    """Return inputs of :func:`prepare_inputs` with another chat about the same video.

    Only the token ids behind the video change, so that pictures and sound are processed once.
    """
    import torch

    end = "<|vision_eos|>"
    ids = inputs["input_ids"][0]
    stop = int((ids == SPECIAL_TOKENS[end]).nonzero()[0]) + 1
    later = processor.tokenizer(chat.partition(end)[2], return_tensors="pt")["input_ids"][0]
    new_ids = torch.cat([ids[:stop], later])[None]
    return {**inputs, "input_ids": new_ids, "attention_mask": torch.ones_like(new_ids)}


def load_thinker(weights: Weights, size: str, precision: str, device: str) -> torch.nn.Module:
    """Return the network on a device, with official weights or random ones of a size.

    ``precision`` is fp32, bf16 or int8 (weights of the layers as whole numbers by bitsandbytes).
    Raises :class:`UserError` for int8 on a CPU, and for files that do not fit, with the counts.
    """
    import torch

    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    if precision == "int8":
        check_int8(weights, device)
    model = (
        _build_random(weights.seed, size, dtype).to(device)
        if weights.path is None
        else _load_files(weights, precision, dtype, device)
    )
    return model.eval().requires_grad_(False)


def check_int8(weights: Weights, device: str) -> None:
    """Raise :class:`UserError` unless bitsandbytes can load these weights on the device."""
    where = "config, features.qwen_omni.options.precision: int8"
    if not device.startswith("cuda"):
        raise UserError(f"{where} needs a GPU, and there is none; write bf16 or fp32")
    if weights.path is None:
        raise UserError(f"{where} is for published weights; write bf16 with random ones")


def _build_random(seed: int, size: str, dtype: torch.dtype) -> torch.nn.Module:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            settings_class: Any = transformers.Qwen2_5OmniThinkerConfig
            settings = settings_class(**SIZES[size], **_TOKEN_SETTINGS)
            network_class: Any = transformers.Qwen2_5OmniThinkerForConditionalGeneration
            model: torch.nn.Module = network_class(settings)
    finally:
        torch.set_default_dtype(before)
    return model


def _load_files(
    weights: Weights, precision: str, dtype: torch.dtype, device: str
) -> torch.nn.Module:
    """Load the three files of weights, linked into a folder under the names of the publisher."""
    network_class: Any = transformers.Qwen2_5OmniThinkerForConditionalGeneration
    files = list_files(weights)
    check_settings(files[PARTS["settings"]])
    options: dict[str, Any] = {}
    if precision == "int8":
        options = {
            "quantization_config": transformers.BitsAndBytesConfig(load_in_8bit=True),
            "device_map": {"": device},
        }
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, path in files.items():
            (folder / file).symlink_to(path.resolve())
        write_index(folder)
        transformers.logging.disable_progress_bar()
        try:
            model, report = network_class.from_pretrained(
                folder, dtype=dtype, output_loading_info=True, local_files_only=True,
                ignore_mismatched_sizes=True, **options,
            )  # fmt: skip
        except Exception as error:  # the library raises errors of many types
            if is_out_of_memory(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise UserError(
                f"{weights.path}: the files of Qwen2.5-Omni cannot be loaded ({reason}); give the "
                "files of Qwen/Qwen2.5-Omni-3B"
            ) from error
    wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    if wrong:
        counts = ", ".join(
            f"{len(report[key])} {words}"
            for key, words in (
                ("missing_keys", "missing"), ("unexpected_keys", "unexpected"),
                ("mismatched_keys", "of another shape"),
            )
        )  # fmt: skip
        raise UserError(
            f"{weights.path}: these weights do not fit Qwen2.5-Omni's thinker: of "
            f"{len(model.state_dict())} keys {counts} ({', '.join(map(str, wrong[:3]))}); give all "
            "three weights files of Qwen/Qwen2.5-Omni-3B"
        )
    loaded: torch.nn.Module = model if precision == "int8" else model.to(device)
    return loaded


def list_files(weights: Weights) -> dict[str, Path]:
    """Return the files of the weights by the names that the publisher gives them."""
    assert weights.path is not None
    files = {_FIRST_SHARD: weights.path}
    for part, file in PARTS.items():
        path = weights.get_part(part).path
        assert path is not None
        files[file] = path
    return files


def check_settings(path: Path) -> None:
    """Check that a file holds the settings of Qwen2.5-Omni; raises :class:`UserError` if not.

    The library takes the sizes of its default network, of 7 billion weights, for missing ones.
    """
    try:
        settings = read_json(path)
        thinker = settings["thinker_config"]
        for part, size in _SIZES_IN_SETTINGS.items():
            int(thinker[part][size])
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)[:150]
        raise UserError(
            f"{path}: holds no settings of Qwen2.5-Omni ({reason}); give the config.json of "
            "Qwen/Qwen2.5-Omni-3B"
        ) from error


def read_text_settings(weights: Weights, size: str) -> Any:
    """Return the settings of the language model, of published weights or random ones of a size."""
    settings_class: Any = transformers.Qwen2_5OmniThinkerConfig
    if weights.path is None:
        return settings_class(**SIZES[size], **_TOKEN_SETTINGS).text_config
    path = list_files(weights)[PARTS["settings"]]
    check_settings(path)
    return settings_class(**read_json(path)["thinker_config"]).text_config


def write_index(folder: Path) -> None:
    """Write the list of keys of the three weights files in a folder, which the library reads."""
    from safetensors import SafetensorError, safe_open

    weight_map: dict[str, str] = {}
    for file in _SHARDS:
        try:
            with safe_open(folder / file, "pt") as shard:
                weight_map |= dict.fromkeys(shard.keys(), file)
        except (SafetensorError, OSError) as error:
            path = (folder / file).resolve()
            raise UserError(
                f"{path}: cannot be read as weights ({str(error)[:150]}); give one of the three "
                "weights files of Qwen/Qwen2.5-Omni-3B"
            ) from error
    content = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


class Thinker:
    """Asks the network about a video: a greedy answer, and the logits of the level words.

    Answers are greedy, so that they do not depend on chance.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self.level_ids = [self._find_level(word) for word in LEVEL_WORDS]

    def _find_level(self, word: str) -> int:
        ids = self.processor.tokenizer.encode(f" {word}", add_special_tokens=False)
        if len(ids) != 1:
            raise UserError(
                f"qwen_omni: the tokenizer splits the level ' {word}' into {len(ids)} tokens; give "
                "the tokenizer.json of Qwen/Qwen2.5-Omni-3B"
            )
        return int(ids[0])

    def write_answer(self, inputs: Mapping[str, Any], max_new_tokens: int) -> tuple[str, bool]:
        """Return the text that the model writes, and whether it was cut at ``max_new_tokens``."""
        tensors = self._move(inputs)
        end_ids = [SPECIAL_TOKENS["<|im_end|>"], SPECIAL_TOKENS["<|endoftext|>"]]
        settings = transformers.GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, use_cache=True, eos_token_id=end_ids,
            pad_token_id=SPECIAL_TOKENS["<|endoftext|>"],
        )  # fmt: skip
        ids = self.model.generate(**tensors, generation_config=settings)
        new_ids = ids[0, tensors["input_ids"].shape[1] :]
        answer: str = self.processor.tokenizer.decode(new_ids, skip_special_tokens=True)
        return answer, int(new_ids[-1]) not in end_ids

    def compute_levels(self, inputs: Mapping[str, Any]) -> Floats32:
        """Return the logits of the five level words (5,) as the next token."""
        # Logits of the last token alone: those of all would take a gigabyte.
        hidden = self.model.model(**self._move(inputs)).last_hidden_state[:, -1]
        logits = self.model.lm_head(hidden)[0, self.level_ids].float()
        levels: Floats32 = logits.cpu().numpy()
        return levels

    @contextmanager
    def record_language_input(self) -> Iterator[list[torch.Tensor]]:
        """Record the first input of the language model in the block.

        Yields a list that then holds embeddings (1, tokens, numbers) and positions (3, 1, tokens).
        """
        recorded: list[torch.Tensor] = []

        def record(_: Any, __: Any, arguments: Mapping[str, Any]) -> None:
            if not recorded:
                recorded.extend((arguments["inputs_embeds"], arguments["position_ids"]))

        hook = self.model.model.language_model.register_forward_pre_hook(record, with_kwargs=True)
        try:
            yield recorded
        finally:
            hook.remove()

    def _move(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs on the model's device; pictures and sound in its number format."""
        device, dtype = self.model.device, self.model.dtype
        moved: dict[str, Any] = {}
        for name, value in inputs.items():
            if name in ("pixel_values_videos", "input_features"):
                moved[name] = value.to(device, dtype)
            else:
                moved[name] = value.to(device) if hasattr(value, "to") else value
        return moved
