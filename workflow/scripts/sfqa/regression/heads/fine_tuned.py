"""A backbone that is trained from cached views, with its published head.

``backbone`` names the network: FAST-VQA's (``fast_vqa.view``), DOVER's (``dover.technical_view``,
``dover.aesthetic_view``), SimpleVQA's (``simplevqa.frames``, ``slowfast.slowfast``), FocusQ's
(``spatial.frames``, ``slowfast.slowfast``, ``iqa.token``), AIGC-VQA's (DOVER's views,
``blip.frames``, ``blip.tokens``), the language model of Qwen2.5-Omni (its ``embeddings``,
``places`` and ``questions``), those of ImageBind (``imagebind.clips``, ``imagebind.spectra``)
and VALOR-base (``valor.frames``, ``valor.spectra``), or one of timm (``image.frames``), whose
features are joined with frozen ones: any further inputs, each as its mean over steps. ``train``
says which part of it learns, and ``stages`` in which order. It starts from the network of the
extractor, from random weights, or from a file of one's own (docs/fine_tuning.md). Neither views,
whose pixels the network normalises itself, nor frozen features are standardised. The defaults are
FAST-VQA's published training; config/models.yaml has those of the others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from sfqa.arrays import Floats
from sfqa.options import Choice, Flag, ModelName, Option, Options, Text
from sfqa.regression import losses
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.fine_tuning.network import FineTunedNetwork
from sfqa.regression.fine_tuning.registry import BACKBONES, JOINED, JOINED_WIDTH, load_backbone
from sfqa.regression.head import check_input_count
from sfqa.regression.loss_terms import read_loss_terms
from sfqa.regression.network_head import NetworkHead, Shapes, select_roles
from sfqa.regression.networks.separate_scores import sum_losses
from sfqa.regression.problems import Features, Models, Problem, get_blocks
from sfqa.regression.stage_options import StageList, TrainedPart, declare_language_options
from sfqa.regression.steps import PADDED
from sfqa.regression.training_options import fastvqa_training_options
from sfqa.training.augmentation import ViewReading
from sfqa.training.optimization import ParameterGroups
from sfqa.training.stages import TrainingStage

VERSION = 1
DESIGN = "blocks"
PROBLEMS_PER_CALL = 1
INPUTS = {
    "": ("view views",),
    "backbone=dover": ("technical views", "aesthetic views"),
    "backbone=simplevqa": ("frames views", "motion steps"),
    "backbone=focusq": ("frames views", "motion steps", "face steps"),
    "backbone=image": ("frames views", "joined* numbers"),
    "backbone=imagebind": ("clips views", "spectra views"),
    "backbone=valor": ("frames views", "spectra views"),
    "backbone=aigc_vqa": ("technical views", "aesthetic views", "frames views", "tokens views"),
    "backbone=qwen_omni": ("embeddings views", "places views", "questions views"),
}
OPTIONS: Options = {
    "backbone": Choice(
        "fast_vqa",
        (
            "fast_vqa", "dover", "simplevqa", "image", "aigc_vqa", "focusq", "imagebind", "valor",
            "qwen_omni",
        ),
        "the network that is trained",
    ),
    "start": Text(
        "checkpoint",
        "first weights. checkpoint: those of the extractor, official or random; random: drawn anew "
        "for each fit; or the path of a file: model.sfqa, or a checkpoint in the extractor's form",
    ),
    "train": TrainedPart("all", "the part of the network that learns, if there are no stages"),
    "stages": StageList(
        [], "stages of the training, in order; empty: one stage of train and epochs"
    ),
    "stage_epochs": Option(
        0, 0, None, "epochs of every stage, for trials; 0: those that it has", whole=True
    ),
    "backbone_rate": Option(0.1, 0, None, "factor of the learning rate for the backbone"),
    "blocks": Choice(
        "official", ("official", "reduced"),
        "blocks of the network; reduced: a few of them, for trials",
    ),
    "adapter": Flag(True, "whether AIGC-VQA's alignment branch has ST-Adapter (table 5)"),
    "model": ModelName("convnext_tiny.fb_in1k", "timm", "the network of the backbone image"),
    "steps": Option(
        8, 0, None,
        "frames or seconds that count, by backbone: SimpleVQA's and FocusQ's first ones, the last "
        "one again until there are as many; of image evenly spaced; of imagebind and valor all; 0: "
        "all, as many in every video",
        whole=True,
    ),
    "train_clips": Option(
        1, 0, None,
        "clips of each view that are drawn in every epoch of the training, 0: all; predictions are "
        "the mean over all clips",
        whole=True,
    ),
    "scored_clips": Option(
        0, 0, None,
        "clips of each view that predictions read, from the first on, such as those of the first "
        "of several draws; 0: all",
        whole=True,
    ),
    "flip": Flag(False, "whether clips and frames are mirrored at random in the training"),
    "crop": Option(
        0, 0, None,
        "side in pixels of a square that is cut out of frames, at random in the training and from "
        "the centre for predictions; 0: whole frames",
        whole=True,
    ),
    "mos": Choice(
        "standardised", ("standardised", "as_is"),
        "what the loss compares scores with; as_is: the MOS, for losses such as mae and first "
        "weights that score on their scale",
    ),
    "rank_below": Option(
        None, 0, None,
        "for the loss rank_simplevqa: only pairs whose MOS differ by less count, in units of mos; "
        "published: 1; null: all pairs",
    ),
    **declare_language_options(),
    **fastvqa_training_options(epochs=30),
}  # fmt: skip
#: Losses that fix the scale of the scores; with others they are mapped to MOS afterwards.
SCALED_LOSSES = frozenset({"mae", "l1", "mse"})
#: Backbones that read the first seconds, the last one again until there are as many.
FIRST_SECONDS = frozenset({"simplevqa", "focusq"})
LOG = logging.getLogger("sfqa")


class Head(NetworkHead):
    """A backbone with its head; a network for every trial and dimension."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return the views, as they are, features of seconds, and the means of joined ones."""
        backbone = BACKBONES[options["backbone"]]
        roles = backbone.list_roles(len(inputs))
        check_input_count(self.name, inputs, roles)
        count = int(options["steps"]) or None
        rule = "first" if options["backbone"] in FIRST_SECONDS else "uniform"

        def choose_steps(role: str) -> Steps:
            if role.startswith(JOINED):
                return Steps(0)
            if role in backbone.padded:
                return Steps(int(options["tokens"]), PADDED, keep_axes=True)
            if role in (*backbone.clips, *backbone.encoded, *backbone.fixed):
                return Steps(keep_axes=True)
            return Steps(count, rule, keep_axes=role in backbone.views)

        return [HeadInput(role, choose_steps(role)) for role in roles]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> FineTunedNetwork:
        """Return the network; raises ``ValueError`` for a row that is no view."""
        backbone = BACKBONES[options["backbone"]]
        for role, shape in shapes.items():
            has_colours = role in backbone.views and role not in backbone.encoded
            if len(shape) != backbone.count_axes(role) or (has_colours and shape[1] != 3):
                raise ValueError(f"the backbone {options['backbone']} does not read such a {role}")
        if dims != 1:
            raise ValueError("the published heads have a single score")
        joined = sum(shape[0] for role, shape in shapes.items() if role.startswith(JOINED))
        module = load_backbone(options["backbone"])
        network = cast(FineTunedNetwork, module.build({**options, JOINED_WIDTH: joined}))
        self.end_stages(network, self.complete_options(options))
        return network

    def complete_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options with the stages, and the number of their epochs."""
        stages = options["stages"] or [{"train": options["train"], "epochs": options["epochs"]}]
        if options["stage_epochs"]:
            stages = [{**stage, "epochs": options["stage_epochs"]} for stage in stages]
        epochs = sum(stage["epochs"] for stage in stages)
        return {**options, "stages": stages, "epochs": epochs}

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return the sum of the losses of the branches' scores."""
        bound = math.inf if options["rank_below"] is None else float(options["rank_below"])
        return sum_losses(losses.parse(str(options["loss"]), bound))

    def group_parameters(self, network: nn.Module, options: Mapping[str, Any]) -> ParameterGroups:
        """Return the backbone, with its factor of the learning rate, and the head."""
        return cast(FineTunedNetwork, network).group_parameters(float(options["backbone_rate"]))

    def begin_stage(self, network: nn.Module, stage: TrainingStage) -> None:
        """Let only the parameters of a stage learn."""
        cast(FineTunedNetwork, network).select_trained(stage.train)

    def end_stages(self, network: nn.Module, options: Mapping[str, Any]) -> None:
        """Let the branches be scored that any stage trains."""
        parts = [stage["train"] for stage in options["stages"]]
        cast(FineTunedNetwork, network).select_scored(parts)

    def standardises(self, role: str) -> bool:
        """Return False: the network normalises pixels, and published heads read features as is."""
        return False

    def scale_mos(self, problem: Problem, options: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Return mean and deviation of the train MOS, or 0 and 1 for MOS as they are."""
        if options["mos"] == "as_is":
            return np.zeros(problem.dims), np.ones(problem.dims)
        return super().scale_mos(problem, options)

    def count_drawn_steps(self, options: Mapping[str, Any], roles: Sequence[str]) -> dict[str, int]:
        """Return how many clips of each view an epoch of the training reads."""
        return dict.fromkeys(BACKBONES[options["backbone"]].clips, int(options["train_clips"]))

    def choose_view_readings(
        self, options: Mapping[str, Any], roles: Sequence[str]
    ) -> dict[str, ViewReading]:
        """Return how flips and crops change the views, and which clips predictions read."""
        backbone, readings = BACKBONES[options["backbone"]], {}
        for role in backbone.views.keys() - backbone.encoded.keys():
            clips = int(options["scored_clips"]) if role in backbone.clips else 0
            reading = ViewReading(options["flip"], int(options["crop"]) or None, clips)
            if reading != ViewReading():
                readings[role] = reading
        return readings

    def rescales(self, options: Mapping[str, Any]) -> bool:
        """Return whether the losses leave the scale of the scores free."""
        return not SCALED_LOSSES & read_loss_terms(str(options["loss"])).keys()

    def fit(
        self,
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> Models:
        """Train a network for every problem; the log says first which parameters learn."""
        for text in self.describe_training(x, problems[0].dims, options)["log"]:
            LOG.info("head %s: %s", self.name, text)
        return super().fit(x, problems, options, work, device)

    def describe_training(
        self, x: Features, dims: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return for each stage which tensors learn, and sentences for the log."""
        options = self.complete_options(options)
        blocks = get_blocks(select_roles(x, self.list_roles(options, x)))
        shapes = {role: block.shape[1:] for role, block in blocks.items()}
        self._check_build(shapes, dims, options)
        with torch.device("meta"):
            network = self.build(shapes, dims, options)
        stages, log = [], []
        for number, stage in enumerate(options["stages"]):
            self.begin_stage(network, TrainingStage(**stage))
            names = network.list_trained_tensors()
            stages.append({**stage, "tensors": names})
            log.append(
                f"stage {number + 1} ({stage['epochs']} epochs) trains {len(names)} tensors; "
                f"{network.describe_trained()}"
            )
        return {"stages": stages, "log": log}
