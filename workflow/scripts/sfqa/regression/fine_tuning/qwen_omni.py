"""Qwen2.5-Omni's language model with LoRA: from the views of a video to the expected level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfqa.features.qwen_omni_views import decode_embeddings
from sfqa.features.view_columns import decode_bytes
from sfqa.regression.fine_tuning.language_base import (
    IDENTITY,
    QUESTION,
    LanguageBase,
    check_identity,
)
from sfqa.regression.fine_tuning.network import FineTunedNetwork
from sfqa.regression.fine_tuning.parts import Branch, count_numbers
from sfqa.regression.training_options import BASE
from sfqa.training.optimization import ParameterGroups

#: The linear layers of a block, all of which get adapters, as in Q-Align's training.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_BASE, _ADAPTER = "language.", ".lora_"


class Network(FineTunedNetwork):
    """Views of a video (rows, ...) to the expected level, 5 (excellent) to 1 (bad), (rows, 1).

    The question is that of one dimension, by the buffer ``question``. Each row passes by itself:
    its score does not depend on the length of others. Adapters are float32, and the base keeps the
    number format of the extractor. The state holds adapters, question and identity of the base.
    """

    base: Tensor
    question: Tensor
    level_rows: Tensor

    def __init__(self, base: LanguageBase, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        from peft import LoraConfig, inject_adapter_in_model

        is_empty = torch.get_default_device().type == "meta"
        language, level_rows = base.build_empty() if is_empty else base.load()
        settings = LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(TARGETS)
        )  # fmt: skip
        self.language = cast(Any, inject_adapter_in_model(settings, language))
        # Memory holds the input of each block, and of one block the rest.
        self.language.activation_checkpointing_enable()
        adapters = [p for name, p in self.language.named_parameters() if _ADAPTER in name]
        for parameter in adapters:
            parameter.data = parameter.data.float()
        self.source = base
        self.register_buffer("level_rows", level_rows, persistent=False)
        self.register_buffer(IDENTITY, torch.tensor(base.compute_identity()))
        self.register_buffer(QUESTION, torch.zeros(1, dtype=torch.int64))
        self.set_branches({"language": Branch((), tuple(adapters))})
        self.register_state_dict_post_hook(_leave_out_base)
        self.register_load_state_dict_pre_hook(_check_base)
        self.register_load_state_dict_post_hook(_allow_missing_base)
        self.select_trained("lora")

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the expected level of each row."""
        rows = zip(x["embeddings"], x["places"], x["questions"], strict=True)
        logits = torch.stack([self.compute_levels(*row) for row in rows])
        levels = torch.arange(logits.shape[1], 0, -1, dtype=logits.dtype, device=logits.device)
        return (logits.softmax(dim=1) @ levels)[:, None]

    def compute_levels(self, embeddings: Tensor, places: Tensor, questions: Tensor) -> Tensor:
        """Return the logits of the level words (5,) for the views of one video, in float32.

        In bf16 a logit has eight bits, too few for scores that are compared and for gradients.
        """
        numbers = decode_bytes(places, torch.int32)
        length = int(numbers[:, 0].sum())
        positions = numbers[:length, 1:].T
        ids = decode_bytes(questions[int(self.question)], torch.int32)
        ids = ids[ids >= 0]
        later = positions.max() + 1 + torch.arange(len(ids), device=ids.device)
        text = self.language.embed_tokens(ids)
        inputs = torch.cat([decode_embeddings(embeddings[:length]).to(text.dtype), text])[None]
        hidden = self.language(
            inputs_embeds=inputs,
            position_ids=torch.cat([positions, later.expand(3, -1)], dim=1)[:, None],
            attention_mask=torch.ones(inputs.shape[:2], dtype=torch.int64, device=ids.device),
            use_cache=False,
        ).last_hidden_state[0, -1]
        with torch.autocast(hidden.device.type, enabled=False):
            return functional.linear(hidden.float(), self.level_rows)

    def group_parameters(self, backbone_rate: float) -> ParameterGroups:
        """Return the adapters; there is no other parameter that learns."""
        return [{"params": self.branches["language"].head}]

    def describe_trained(self) -> str:
        """Return in words what learns."""
        adapters = count_numbers(self.branches["language"].head)
        frozen = count_numbers(self.language.parameters()) - adapters
        return (
            f"language: {adapters:,} parameters of adapters beside {frozen:,} of the language "
            "model, which stay as they are"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Network:
        """Move tensors to another device; their number formats stay as they are."""
        super()._apply(lambda tensor: tensor.to(fn(tensor.new_empty(0)).device), recurse)
        return self


def _leave_out_base(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [n for n in state if n.startswith(prefix + _BASE) and _ADAPTER not in n]:
        del state[name]


def _check_base(module: Network, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    if prefix + IDENTITY in state and not module.base.is_meta:
        stored = {IDENTITY: state[prefix + IDENTITY].cpu().numpy()}
        check_identity(stored, module.source, "the stored network")


def _allow_missing_base(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [n for n in keys.missing_keys if _BASE not in n or _ADAPTER in n]


def build(options: Mapping[str, Any]) -> Network:
    """Return the base with drawn adapters that change nothing yet."""
    return Network(
        options[BASE], options["lora_rank"], options["lora_alpha"], options["lora_dropout"]
    )
