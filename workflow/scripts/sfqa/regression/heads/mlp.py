"""A small network on frozen features, Adam, early stopping on the validation rows.

The default is the shape of SimpleVQA's head (arXiv 2204.14047): d-128-1 with no activation
between. Features and MOS are standardised on train rows. The default precision is float64: in
float32 a rounding error may decide which epoch is kept, so that another processor or device would
change the third digit of a SRCC.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import nn

from sfqa.options import Choice, Numbers, Option, Options
from sfqa.regression import losses
from sfqa.regression.network_head import NetworkHead, Shapes
from sfqa.regression.training_options import training_options

VERSION = 3
OPTIONS: Options = {
    "hidden": Numbers([128], 1, None, "widths of the hidden layers", whole=True),
    "activation": Choice("none", ("none", "relu", "gelu"), "activation after each hidden layer"),
    "dropout": Option(0.0, 0, 1, "dropout after each hidden layer"),
    "threshold": Option(
        0.0, 0, None,
        "rank_simplevqa counts pairs whose MOS differ by less, in standard deviations; 0: all",
    ),
    **training_options(
        weight_decay=1.0e-7, epochs=500, batch_rows=0, precision="float64",
    ),
    "select": Choice(
        "srcc", ("srcc", "loss"), "which epoch is kept, by SRCC or loss on the validation rows"
    ),
}  # fmt: skip

_ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU}


class Head(NetworkHead):
    """Linear layers with an activation and dropout between."""

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the layers for rows of ``shapes["x"]``, which is (columns,)."""
        widths = [shapes["x"][0], *options["hidden"]]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), _ACTIVATIONS[options["activation"]]()]
            if options["dropout"]:
                layers.append(nn.Dropout(float(options["dropout"])))
        return nn.Sequential(*layers, nn.Linear(widths[-1], dims))

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return the loss, with the threshold of its rank term."""
        return losses.parse(options["loss"], float(options["threshold"]) or float("inf"))
