"""FAST-VQA-B: the gated Swin3D-T and its head, from fragments."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from sfqa.features.map_networks import INTEGER_TABLES, FastVqa
from sfqa.features.quality_maps import MEAN, STD
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning.network import FineTunedNetwork, PixelNorm
from sfqa.regression.fine_tuning.swin_branch import describe_swin, score_clips


class Network(FineTunedNetwork):
    """Fragments (rows, clips, 3, 32, 224, 224) to scores (rows, 1)."""

    def __init__(self, reduced: bool) -> None:
        super().__init__()
        self.network = FastVqa(reduced)
        self.norm = PixelNorm(MEAN, STD)
        branch = describe_swin(self.network.fragments_backbone, self.network.vqa_head)
        self.set_branches({"technical": branch})

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the mean score of the clips."""
        network = self.network
        return score_clips(network.fragments_backbone, network.vqa_head, self.norm, x["view"])


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(options["blocks"] == "reduced")


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of the network with the weights of the extractor."""
    network = weights["fast_vqa"].load(
        partial(FastVqa, options["blocks"] == "reduced"), INTEGER_TABLES
    )
    return {f"network.{key}": value for key, value in network.state_dict().items()}
