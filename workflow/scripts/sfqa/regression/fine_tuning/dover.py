"""DOVER: a Swin3D-T on fragments and a ConvNeXt-3D on whole frames, with a head each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from sfqa.features.map_networks import INTEGER_TABLES, Dover
from sfqa.features.quality_maps import MEAN, STD
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning.network import FineTunedNetwork, PixelNorm
from sfqa.regression.fine_tuning.swin_branch import describe_convnext, describe_swin, score_clips


class Network(FineTunedNetwork):
    """Both views (rows, clips, 3, 32, 224, 224) to the plain sum of the branches' scores."""

    def __init__(self, reduced: bool) -> None:
        super().__init__()
        self.network = Dover(reduced)
        self.norm = PixelNorm(MEAN, STD)
        network = self.network
        self.set_branches({
            "technical": describe_swin(network.technical_backbone, network.technical_head),
            "aesthetic": describe_convnext(network.aesthetic_backbone, network.aesthetic_head),
        })  # fmt: skip

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the mean score of a branch's clips."""
        tower = self.network.get_submodule(f"{branch}_backbone")
        head: Any = self.network.get_submodule(f"{branch}_head")
        return score_clips(tower, head, self.norm, x[branch])


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(options["blocks"] == "reduced")


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of the network with the weights of the extractor."""
    network = weights["dover"].load(partial(Dover, options["blocks"] == "reduced"), INTEGER_TABLES)
    return {f"network.{key}": value for key, value in network.state_dict().items()}
