"""Trains any network for many problems at once: stacked parameters, features on the device.

Every problem has its own first numbers, order of rows, dropout, scalers, best epoch and end, all
from its own seed and rows, so that a problem trained in a batch is that problem trained alone, but
for the rounding of sums. A killed training goes on from its checkpoint to the same numbers.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sfqa import store
from sfqa.arrays import Floats
from sfqa.identity import digest
from sfqa.job import Stopped, defer_stop
from sfqa.regression.losses import Loss
from sfqa.regression.problems import Features, Problem, check_problems, find_reason, get_blocks
from sfqa.regression.run import Report, Run, forward_rows
from sfqa.regression.scaling import Scalers, mos_scale
from sfqa.regression.schedule import DTYPES, Schedule
from sfqa.regression.stacking import Build, Stack, built
from sfqa.tables import flaw

LOG = logging.getLogger("sfqa")

#: Version of the numbers that a training gives; with run.py, scaling.py, stacking.py, ranking.py.
VERSION = 1
#: Seconds between two checkpoints, and between two lines of progress; they change no number.
CHECKPOINT_SEC, PROGRESS_SEC = 5.0, 10.0
#: A large state is written less often: at most one part in so many of the time goes there.
SAVING_SHARE = 20
#: Memory for problems that are trained together where none is given: on a CPU, and this share of
#: what is free on a GPU.
CPU_GB, GPU_SHARE = 2.0, 0.5


class Trained:
    """Networks with their scalers: :class:`sfqa.regression.problems.Models`."""

    def __init__(
        self,
        stack: Stack,
        scalers: Scalers,
        mos: tuple[Floats, Floats],
        reasons: list[str],
        schedule: Schedule,
        shapes: Mapping[str, tuple[int, ...]],
        device: str,
    ) -> None:
        self.stack, self.scalers, self.mos, self.reasons = stack, scalers, mos, reasons
        self.schedule, self.shapes, self.device = schedule, dict(shapes), device

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        given = get_blocks(x)
        found = {name: v.shape[1:] for name, v in given.items()}
        if found != self.shapes:
            raise ValueError(f"features of shapes {found}; the networks take {self.shapes}")
        theta = self.stack.theta.to(self.device)
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in given.items()}
        which = torch.arange(len(theta), device=self.device)
        out = forward_rows(
            self.stack, theta, which, tensors, self.scalers, isinstance(x, Mapping),
            self.schedule.batching, self.device, self.schedule.precision == "bf16",
        )  # fmt: skip
        mean, sd = (v[:, None, :] for v in self.mos)
        values = out.double().cpu().numpy() * sd + mean
        values[[bool(r) for r in self.reasons]] = np.nan
        return values

    def state(self, problem: int) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of one network: parameters, buffers, scalers, shapes."""
        if self.reasons[problem]:
            raise ValueError(f"problem {problem} was not fitted: {self.reasons[problem]}")
        row = self.stack.theta[problem]
        found = {f"parameter.{k}": v for k, v in self.stack.parameters(row).items()}
        found |= {f"buffer.{k}": v[problem] for k, v in self.stack.buffers.items()}
        for kind, values in (("mean", self.scalers.mean), ("factor", self.scalers.factor)):
            found |= {f"{kind}.{name}": v[problem] for name, v in values.items()}
        arrays = {k: v.detach().cpu().numpy().copy() for k, v in found.items()}
        shapes = {f"shape.{k}": np.array(s, np.int64) for k, s in self.shapes.items()}
        return arrays | shapes | {"y_mean": self.mos[0][problem], "y_sd": self.mos[1][problem]}


def restore(
    build: Build,
    states: Sequence[Mapping[str, npt.NDArray[Any]]],
    device: str,
    schedule: Schedule | None = None,
) -> Trained:
    """Return the networks of model files (:meth:`Trained.state`), with the build they had."""
    schedule = schedule or Schedule()
    first = states[0]
    shapes = {k[6:]: tuple(int(n) for n in v) for k, v in first.items() if k.startswith("shape.")}
    dims = len(first["y_mean"])
    nets = (built(build, shapes, dims, 0) for _ in states)
    stack = Stack(nets, device, DTYPES[schedule.precision])

    def gathered(kind: str) -> dict[str, Tensor]:
        names = [k for k in first if k.startswith(f"{kind}.")]
        found = {n: torch.from_numpy(np.stack([s[n] for s in states])) for n in names}
        return {n[len(kind) + 1 :]: v.to(device) for n, v in found.items()}

    parameters = gathered("parameter")
    stack.theta = torch.cat([parameters[n].flatten(1) for n in stack.names], dim=1)
    stack.buffers = gathered("buffer")
    mos = (np.stack([s["y_mean"] for s in states]), np.stack([s["y_sd"] for s in states]))
    scalers = Scalers(gathered("mean"), gathered("factor"))
    return Trained(stack, scalers, mos, [""] * len(states), schedule, shapes, device)


def train(
    build: Build,
    x: Features,
    problems: Sequence[Problem],
    loss: Loss,
    schedule: Schedule,
    work: Path,
    device: str,
    identity: Sequence[Any] = (),
    after_epoch: Callable[[Report], None] | None = None,
    log: logging.Logger = LOG,
) -> Trained:
    """Train one network per problem, as one batch, and return them.

    ``build(shapes, dims)`` makes a network: ``shapes`` maps a block to the shape of its row
    ({'x': (columns,)} for a matrix); it is called under the problem's seed, and takes no other
    random numbers. The network is called with (rows, columns), or with a dictionary of blocks, and
    returns (rows, dims). ``loss`` (:mod:`sfqa.regression.losses`) sees MOS standardised on the
    train rows, unless ``scale_mos`` is false. Problems that cannot be fitted get a reason.
    ``identity`` is what else the numbers depend on, as the head's VERSION and options (JSON-like).
    Checkpoints are written to ``work`` by rename; ``after_epoch`` is told of each finished epoch.
    Raises :class:`UserError` for features that are not finite.
    """
    check_problems(x, problems)
    shapes = {name: v.shape[1:] for name, v in get_blocks(x).items()}
    reasons = [find_reason(p, schedule.select != "none") for p in problems]
    dtype = DTYPES[schedule.precision]
    resident = {
        k: torch.from_numpy(np.ascontiguousarray(v)).to(device) for k, v in get_blocks(x).items()
    }
    dims = problems[0].dims
    fit = [n for n, reason in enumerate(reasons) if not reason]
    content = _content(x) if fit else ""
    mean, sd = mos_scale(problems, schedule.scale_mos)
    scalers = Scalers.of(resident, problems, dtype, schedule.scale_features)
    best: dict[int, Tensor] = {}
    for number, chunk in enumerate(_chunks(fit, problems, build, shapes, schedule, device)):
        own = [problems[n] for n in chunk]
        name = digest([
            VERSION, content, [_problem(p) for p in own], _numbers(schedule), list(identity),
            device.split(":")[0],
        ])  # fmt: skip
        which = torch.tensor(chunk, device=device)
        part = Scalers(
            {k: v[which] for k, v in scalers.mean.items()},
            {k: v[which] for k, v in scalers.factor.items()},
        )
        stack = Stack((built(build, shapes, dims, p.seed) for p in own), device, dtype)
        run = Run(
            stack, resident, isinstance(x, Mapping), own, part, (mean[chunk], sd[chunk]), loss,
            schedule, device,
        )  # fmt: skip
        _finish(run, Path(work) / f"checkpoint-{number}.pt", name, after_epoch, log)
        for place, n in enumerate(chunk):
            best[n] = run.best[place]
            if run.best_epoch[place] == 0:
                reasons[n] = flaw("diverged", "no epoch gave finite predictions")
    nets = (built(build, shapes, dims, p.seed) for p in problems)
    stack = Stack(nets, device, dtype)
    for n, theta in best.items():
        stack.theta[n] = theta
    return Trained(stack, scalers, (mean, sd), reasons, schedule, shapes, device)


def _finish(
    run: Run,
    path: Path,
    name: str,
    after_epoch: Callable[[Report], None] | None,
    log: logging.Logger,
) -> None:
    """Train to the end, from the checkpoint where there is one of this name."""
    _resume(run, path, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = told = time.monotonic()
    cost = 0.0
    try:
        while run.running():
            with defer_stop():
                report = run.step()
            now = time.monotonic()
            if now - saved >= max(CHECKPOINT_SEC, SAVING_SHARE * cost):
                _save(run, path, name)
                saved = time.monotonic()
                cost = saved - now
            if report is None:
                continue
            if now - told >= PROGRESS_SEC:
                log.info("%s", report)
                told = now
            if after_epoch is not None:
                after_epoch(report)
    except Stopped:
        _save(run, path, name)
        raise
    _save(run, path, name)


def _save(run: Run, path: Path, name: str) -> None:
    with store.replacing(path) as temporary:
        torch.save({"name": name, "state": run.state()}, temporary)


def _resume(run: Run, path: Path, name: str) -> None:
    """Take over a checkpoint of this name; a damaged or foreign one is a miss."""
    if not path.is_file():
        return
    try:
        # torch does not look at the checksums in its own files: a flipped bit is another weight.
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return
        stored = torch.load(path, map_location="cpu", weights_only=True)
        if stored["name"] == name:
            run.take(stored["state"])
    except Exception:
        # torch raises many kinds for damaged files; all mean the same: begin anew.
        return


def _chunks(
    fit: Sequence[int],
    problems: Sequence[Problem],
    build: Build,
    shapes: Mapping[str, tuple[int, ...]],
    schedule: Schedule,
    device: str,
) -> Iterable[list[int]]:
    """Problems that train together: as many as the memory takes, in order."""
    if not fit:
        return []
    net = built(build, shapes, problems[0].dims, 0)
    parameters = sum(p.numel() for p in net.parameters())
    row = sum(math.prod(shape) for shape in shapes.values())
    width = 8 if schedule.precision == "float64" else 4
    # Parameters, gradient, two moments, the best, and a copy on the way; rows, and as much again.
    needs = []
    for n in fit:
        batch = min(schedule.batch_rows or 10**9, len(problems[n].train))
        rows = batch + len(problems[n].validation)
        needs.append(width * (6 * parameters + 2 * row * rows))
    budget = schedule.memory_gb * 2**30 or _budget(device)
    chunks: list[list[int]] = [[]]
    taken = 0.0
    for n, need in zip(fit, needs, strict=True):
        if chunks[-1] and taken + need > budget:
            chunks.append([])
            taken = 0.0
        chunks[-1].append(n)
        taken += need
    return chunks


def _budget(device: str) -> float:
    if device.startswith("cuda"):
        return GPU_SHARE * torch.cuda.mem_get_info(device)[0]
    return CPU_GB * 2**30


def _content(x: Features) -> str:
    parts = {k: [hashlib.sha256(np.ascontiguousarray(v).data).hexdigest(), list(v.shape)]
             for k, v in get_blocks(x).items()}  # fmt: skip
    return digest(parts)


def _problem(one: Problem) -> list[Any]:
    """What a fit depends on, as JSON: rows, MOS, seed."""
    own = np.ascontiguousarray(one.y[one.rows])
    return [one.train.tolist(), one.validation.tolist(), hashlib.sha256(own.data).hexdigest(),
            one.dims, one.seed]  # fmt: skip


def _numbers(schedule: Schedule) -> dict[str, Any]:
    return asdict(replace(schedule, memory_gb=0.0))
