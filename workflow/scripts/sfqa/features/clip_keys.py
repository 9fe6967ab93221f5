"""Keys of CLIP checkpoints: those of transformers' ``CLIPModel`` as those of open_clip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Layers of both towers, and what is in a layer.
_LAYER = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)")
_TOWERS = {"vision": "visual.transformer.resblocks", "text": "transformer.resblocks"}
_PARTS = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
_OTHERS = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "logit_scale": "logit_scale",
}
# Matrices that open_clip multiplies from the other side.
_TRANSPOSED = {
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
}


def rename_transformers_clip(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return the tensors of a ``CLIPModel`` of transformers under open_clip's keys.

    Query, key and value of a layer become one tensor. Keys that a CLIPModel does not have, and
    layers whose three are not complete, keep their names, so that loading counts them.
    """
    import torch

    renamed: dict[str, Any] = {}
    for key, tensor in state.items():
        layer = _LAYER.fullmatch(key)
        if key in _TRANSPOSED:
            renamed[_TRANSPOSED[key]] = tensor.T.contiguous()
        elif layer is None:
            renamed[_OTHERS.get(key, key)] = tensor
        else:
            tower, number, name = layer.groups()
            prefix = f"{_TOWERS[tower]}.{number}"
            part, _, parameter = name.rpartition(".")
            attention = key[: -len(name)] + "self_attn"
            names = [f"{attention}.{x}_proj.{parameter}" for x in "qkv"]
            if part in _PARTS:
                renamed[f"{prefix}.{_PARTS[part]}.{parameter}"] = tensor
            elif key == names[0] and all(other in state for other in names):
                joined = torch.cat([state[other] for other in names])
                renamed[f"{prefix}.attn.in_proj_{parameter}"] = joined
            elif key not in names or not all(other in state for other in names):
                renamed[key] = tensor
    return renamed


def recognise_layout(state: dict[str, Any], network: torch.nn.Module) -> Mapping[str, Any]:
    """Return the tensors of a file under open_clip's keys, if it is a ``CLIPModel``; else as it is.

    A file that a configuration names by its path has no entry that states its layout. Position
    numbers, which early versions of transformers store, are left out.
    """
    if "vision_model.embeddings.class_embedding" not in state:
        return state
    return rename_transformers_clip(
        {k: v for k, v in state.items() if not k.endswith(".embeddings.position_ids")}
    )
