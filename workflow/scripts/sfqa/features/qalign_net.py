"""Q-Align as pyiqa computes it, from local files: a language model of 8 billion numbers in float16.

Its weights are two files; its settings, tokenizer and preprocessing are files of their own, which
pyiqa fetches from a hub. Here they are linked into a folder that takes the hub's place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError
from sfqa.features.weights import Weights
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.tensors import describe_load_error, load_tensors

if TYPE_CHECKING:
    import torch

#: Files beside the first half of the weights, by part: the names that the library reads.
PARTS = {
    "second_half": "pytorch_model-00002-of-00002.bin",
    "settings": "config.json",
    "tokenizer": "tokenizer.model",
    "tokenizer_settings": "tokenizer_config.json",
    "preprocessing": "preprocessor_config.json",
}
_FIRST_HALF = "pytorch_model-00001-of-00002.bin"
# Pictures are 448 pixels wide.
_SIDE = 448
# A buffer that early versions of transformers stored.
_IGNORED = "rotary_emb.inv_freq"


def load_qalign(weights: Weights, replaced: Callable[..., Any]) -> torch.nn.Module:
    """Return pyiqa's Q-Align with these weights, which scores one picture (1, 3, height, width).

    ``replaced`` is a context manager that replaces an attribute of an object. Raises
    :class:`UserError`, with the counts, for files that do not fit.
    """
    import torch
    from pyiqa.archs.q_align import modeling_mplug_owl2 as modeling
    from pyiqa.archs.qalign_arch import QAlign
    from transformers import CLIPImageProcessor

    _add_older_methods()
    with TemporaryDirectory() as name:
        folder = Path(name)
        if weights.path is None:
            processor = CLIPImageProcessor(size=_SIDE, crop_size=_SIDE)
            model = _build_random(weights.seed, replaced)
        else:
            _link_files(weights, folder)
            processor = CLIPImageProcessor.from_pretrained(folder)
            with _local_folder(modeling, folder, replaced):
                model = _load_files(weights.path, folder)
        metric = QAlign.__new__(QAlign)
        torch.nn.Module.__init__(metric)
        metric.dtype, metric.model_dtype = "fp16", torch.float16
        metric.model, metric.image_processor = model, processor
    scorer: torch.nn.Module = metric.eval().requires_grad_(False)
    return scorer


def make_random_settings() -> Any:
    """Return the settings of Q-Align with random weights: pyiqa's own, of full size."""
    from pyiqa.archs.q_align.configuration_mplug_owl2 import MPLUGOwl2Config

    return MPLUGOwl2Config()


def _build_random(seed: int, replaced: Callable[..., Any]) -> torch.nn.Module:
    import torch
    from pyiqa.archs.q_align import modeling_mplug_owl2 as modeling

    settings = make_random_settings()
    tokenizer = _HashedWords(settings.vocab_size)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        with (
            torch.random.fork_rng(devices=[]),
            replaced(modeling, "LlamaTokenizer", _Always(tokenizer)),
            replaced(modeling, "CLIPImageProcessor", _Always(None)),
        ):
            torch.manual_seed(seed)
            model: torch.nn.Module = modeling.MPLUGOwl2LlamaForCausalLM(settings)
    finally:
        torch.set_default_dtype(before)
    return model.half()


def _link_files(weights: Weights, folder: Path) -> None:
    """Link the files under the names that the library reads, with an index of both halves."""
    assert weights.path is not None
    files = {_FIRST_HALF: weights.path}
    for part, file in PARTS.items():
        path = weights.get_part(part).path
        assert path is not None
        files[file] = path
    for file, path in files.items():
        (folder / file).symlink_to(path.resolve())
    index: dict[str, str] = {}
    for file in (_FIRST_HALF, PARTS["second_half"]):
        try:
            state = load_tensors(folder / file)
            if not isinstance(state, dict):
                raise RefusedError(f"it holds a {type(state).__name__} and not a state dict")
        except Exception as error:
            raise UserError(
                f"{files[file]}: cannot be read as weights ({describe_load_error(error)}); "
                "give one of the two weights files of q-future/one-align"
            ) from error
        index |= {key: file for key in state if not key.endswith(_IGNORED)}
    content = {"metadata": {}, "weight_map": index}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(content))


def _load_files(path: Path, folder: Path) -> torch.nn.Module:
    import torch
    from pyiqa.archs.q_align import modeling_mplug_owl2 as modeling

    model, report = modeling.MPLUGOwl2LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float16, output_loading_info=True, local_files_only=True
    )
    unexpected = [key for key in report["unexpected_keys"] if not key.endswith(_IGNORED)]
    wrong = [*report["missing_keys"], *unexpected, *report["mismatched_keys"]]
    if wrong:
        keys = len(model.state_dict())
        missing, misshapen = len(report["missing_keys"]), len(report["mismatched_keys"])
        matched = keys - missing - misshapen
        raise UserError(
            f"{path}: these weights do not fit Q-Align: {matched} of {keys} keys "
            f"match, {missing} missing, {len(unexpected)} unexpected, {misshapen} of another shape "
            f"({', '.join(map(str, wrong[:3]))}); give both weights files of q-future/one-align"
        )
    loaded: torch.nn.Module = model
    return loaded


@contextmanager
def _local_folder(modeling: Any, folder: Path, replaced: Callable[..., Any]) -> Iterator[None]:
    """Let the constructor of the language model find its tokenizer in a folder."""
    tokenizer = modeling.LlamaTokenizer.from_pretrained(folder)
    with (
        replaced(modeling, "LlamaTokenizer", _Always(tokenizer)),
        replaced(modeling, "CLIPImageProcessor", _Always(None)),
    ):
        yield


def _add_older_methods() -> None:
    """Give pyiqa's network two methods that its base class had before transformers 5."""
    import torch
    from pyiqa.archs.q_align.visual_encoder import MplugOwlVisualAbstractorModel as Abstractor

    def invert_attention_mask(self: Any, mask: torch.Tensor) -> torch.Tensor:
        """Return what is added to attention: 0 where the mask is 1, else the lowest number."""
        inverted = 1.0 - mask[:, None, None, :].to(self.dtype)
        return inverted * torch.finfo(self.dtype).min

    def get_head_mask(_self: Any, _mask: None, layers: int) -> list[None]:
        return [None] * layers

    for method in (invert_attention_mask, get_head_mask):
        if not hasattr(Abstractor, method.__name__):
            setattr(Abstractor, method.__name__, method)


class _Always:
    """In place of a class of the library: ``from_pretrained`` returns one object."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def from_pretrained(self, *_: Any, **__: Any) -> Any:
        """Return the object, whatever name is asked for."""
        return self.content


class _HashedWords:
    """A tokenizer for random weights: each word is one number, by its letters."""

    bos_token_id = 1

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, text: str | list[str]) -> Any:
        """Return ``input_ids`` of a text, or of each of several."""
        from types import SimpleNamespace

        if isinstance(text, list):
            return {"input_ids": [self._number(word) for word in text]}
        return SimpleNamespace(input_ids=[self.bos_token_id, *self._number(text)])

    def _number(self, text: str) -> list[int]:
        from zlib import crc32

        return [3 + crc32(word.encode()) % (self.count - 3) for word in text.split()]
