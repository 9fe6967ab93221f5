"""A small network on frozen features, full batch, Adam, early stopping on the validation rows.

The default is the shape of SimpleVQA's head (arXiv 2204.14047): d-128-1 with no activation
between. Features and MOS are standardised on train rows. All dimensions given at once share the
hidden layers. A killed training goes on from its checkpoint to the same numbers; bits may differ
between numbers of CPU threads and between devices, as those of every float32 sum do.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sfqa import store
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.regression.heads._common import Scaler, srcc

VERSION = 1
SELECTS = True
#: hidden: widths; activation: none, relu, gelu; loss: mse or l1, plus plcc_weight times
#: (1 - PLCC) / 2; select: srcc or loss, on validation rows; patience: epochs without a new best.
OPTIONS: dict[str, Any] = {
    "hidden": [128],
    "activation": "none",
    "dropout": 0.0,
    "loss": "mse",
    "plcc_weight": 0.0,
    "learning_rate": 0.001,
    "weight_decay": 1.0e-7,
    "epochs": 500,
    "patience": 50,
    "select": "srcc",
}
#: Seconds between two checkpoints; changes no number.
CHECKPOINT_SEC = 5.0

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

_CHOICES: dict[str, dict[str, Any]] = {
    "activation": {"none": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU},
    "loss": {"mse": nn.MSELoss, "l1": nn.L1Loss},
    "select": {"srcc": None, "loss": None},
}


def fit_predict(
    x_train: Matrix,
    y_train: Floats,
    x_val: Matrix,
    y_val: Floats,
    x_all: Matrix,
    options: Mapping[str, Any],
    seed: int,
    work: Path,
    device: str,
    after_epoch: Callable[[int], None] | None = None,
) -> Floats:
    """Return predictions (rows of x_all, dims) of the epoch that was best on validation rows.

    Writes ``work/checkpoint.pt`` by rename every few seconds and goes on from it when it belongs
    to the same data, options, seed and kind of device; ``after_epoch`` is told each finished
    epoch. Raises :class:`UserError` for options that make no network.
    """
    for key, choices in _CHOICES.items():
        if options[key] not in choices:
            raise UserError(
                f"head mlp, option {key}: {options[key]!r}; write {' or '.join(choices)}"
            )
    x_scaler, y_scaler = Scaler.of(x_train), Scaler.of(y_train)
    identity = _identity((x_train, y_train, x_val, y_val), options, seed, device)

    def tensor(values: Floats) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)

    with torch.random.fork_rng():
        torch.manual_seed(seed % 2**63)
        run = _Run(x_train.shape[1], y_train.shape[1], options, device)
        data = _Data(
            tensor(x_scaler.scale(x_train)), tensor(y_scaler.scale(y_train)),
            tensor(x_scaler.scale(x_val)), y_scaler.scale(y_val), tensor(y_scaler.scale(y_val)),
        )  # fmt: skip
        path = Path(work) / "checkpoint.pt"
        run.resume(path, identity)
        saved = time.monotonic()
        while run.epoch < options["epochs"] and run.epoch - run.best_epoch < options["patience"]:
            run.step(data)
            if time.monotonic() - saved >= CHECKPOINT_SEC:
                run.save(path, identity)
                saved = time.monotonic()
            if after_epoch is not None:
                after_epoch(run.epoch)
        predictions = run.predict(tensor(x_scaler.scale(x_all)))
    return y_scaler.unscale(predictions)


@dataclass(frozen=True)
class _Data:
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: Floats
    y_val_tensor: torch.Tensor


class _Run:
    """The state of one training: all of it goes into a checkpoint."""

    def __init__(self, inputs: int, outputs: int, options: Mapping[str, Any], device: str) -> None:
        self.options, self.device = options, device
        self.net = _network(inputs, outputs, options).to(device)
        self.optimiser = torch.optim.Adam(
            self.net.parameters(),
            lr=float(options["learning_rate"]),
            weight_decay=float(options["weight_decay"]),
        )
        self.base: nn.Module = _CHOICES["loss"][options["loss"]]()
        self.epoch, self.best_epoch, self.best_score = 0, 0, -math.inf
        self.best_net = _copied(self.net)

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss on standardised MOS, the mean over dimensions."""
        total: torch.Tensor = self.base(prediction, target)
        if self.options["plcc_weight"]:
            p = prediction - prediction.mean(dim=0)
            t = target - target.mean(dim=0)
            plcc = nn.functional.cosine_similarity(p, t, dim=0).mean()
            total = total + float(self.options["plcc_weight"]) * (1 - plcc) / 2
        return total

    def step(self, data: _Data) -> None:
        """One epoch: one full-batch update, then a look at the validation rows."""
        self.net.train()
        self.optimiser.zero_grad(set_to_none=True)
        self.loss(self.net(data.x_train), data.y_train).backward()
        self.optimiser.step()
        self.net.eval()
        self.epoch += 1
        with torch.no_grad():
            prediction = self.net(data.x_val)
        if self.options["select"] == "loss":
            score = -float(self.loss(prediction, data.y_val_tensor))
        else:
            p = prediction.double().cpu().numpy()
            score = float(np.mean([srcc(p[:, d], data.y_val[:, d]) for d in range(p.shape[1])]))
        if score > self.best_score:
            self.best_score, self.best_epoch = score, self.epoch
            self.best_net = _copied(self.net)

    def predict(self, x: torch.Tensor) -> Floats:
        """Predictions of the best epoch, standardised, float64."""
        self.net.load_state_dict(self.best_net)
        self.net.eval()
        with torch.no_grad():
            return self.net(x).double().cpu().numpy()

    def save(self, path: Path, identity: str) -> None:
        """Write the whole state, by rename."""
        cuda = self.device.startswith("cuda")
        state = {
            "identity": identity,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state(self.device) if cuda else None,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "best_net": self.best_net,
        }
        with store.replacing(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path, identity: str) -> None:
        """Take over a checkpoint of the same identity; a damaged or foreign one is a miss."""
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["identity"] != identity:
                return
        except Exception:
            # torch raises many kinds for damaged files; all mean the same: begin anew.
            return
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best_net = {k: v.to(self.device) for k, v in state["best_net"].items()}
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.best_score = state["best_score"]
        torch.set_rng_state(state["rng"])
        if state["rng_cuda"] is not None:
            torch.cuda.set_rng_state(state["rng_cuda"], self.device)


def _network(inputs: int, outputs: int, options: Mapping[str, Any]) -> nn.Sequential:
    widths = [inputs, *(int(w) for w in options["hidden"])]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), _CHOICES["activation"][options["activation"]]()]
        if options["dropout"]:
            layers.append(nn.Dropout(float(options["dropout"])))
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


def _copied(net: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in net.state_dict().items()}


def _identity(
    arrays: tuple[npt.NDArray[Any], ...], options: Mapping[str, Any], seed: int, device: str
) -> str:
    """What the numbers depend on; the rows to predict are not among it."""
    content = [hashlib.sha256(np.ascontiguousarray(a).data).hexdigest() for a in arrays]
    shapes = [list(a.shape) for a in arrays]
    return digest([VERSION, content, shapes, dict(options), seed, device.split(":")[0]])
