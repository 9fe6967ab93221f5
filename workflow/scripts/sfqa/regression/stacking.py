"""Many networks of one shape as one: parameters in one matrix, a row per network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from sfqa.regression.problems import Problem

#: A network from the shapes of one row of every block, and the number of dimensions.
Build = Callable[[dict[str, tuple[int, ...]], int], nn.Module]
#: What a network is called with: a tensor, or a dictionary of blocks.
Input = Tensor | dict[str, Tensor]

_WORD = 0xFFFFFFFF


def hashed(numbers: Tensor) -> Tensor:
    """Return 32 well-mixed bits of every int64, the same on every device.

    Two rounds of multiply and shift with the constants of lowbias32 (C. Wellons, public domain).

    >>> hashed(torch.tensor([0, 1, 2])).tolist()
    [0, 1753845952, 3507691905]
    """
    h = numbers & _WORD
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & _WORD
    h = ((h ^ (h >> 15)) * 0x846CA68B) & _WORD
    return h ^ (h >> 16)


def mixed(seed: Tensor, *numbers: Tensor) -> Tensor:
    """Return 32 bits that depend on all of the given int64 tensors (broadcast)."""
    h = hashed((seed & _WORD) ^ hashed(seed >> 32))
    for more in numbers:
        h = hashed(h ^ hashed(more + 0x9E3779B9))
    return h


class Dropout(nn.Module):
    """Dropout whose mask depends on the network's seed and step alone, not on its neighbours.

    So a network trains alike alone, in a batch, on a CPU and on a GPU.
    """

    seed: Tensor
    tick: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))
        self.register_buffer("tick", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Return x with a share ``p`` of its numbers 0 and the others grown, in training."""
        if not self.training or self.p == 0:
            return x
        # Rows come first, so that a row's mask does not depend on how many follow it.
        place = torch.arange(x.numel(), device=x.device).view(x.shape)
        keep = mixed(self.seed, self.tick, place) >= self.p * 2**32
        return torch.where(keep, x / (1 - self.p), 0.0)


def built(build: Build, shapes: Mapping[str, tuple[int, ...]], dims: int, seed: int) -> nn.Module:
    """Return a network whose first numbers depend on the seed alone, its dropout replaced.

    Raises ``ValueError`` for layers whose state is shared over rows (batch norms).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        net = build(dict(shapes), dims)
    number = 0
    for parent in list(net.modules()):
        if isinstance(parent, nn.modules.batchnorm._BatchNorm):
            raise ValueError("a batch norm keeps state outside of training; use a layer norm")
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                replaced = Dropout(float(child.p))
                setattr(parent, name, replaced)
                child = replaced
            if isinstance(child, Dropout):
                number += 1
                child.seed.copy_(mixed(torch.tensor(seed % 2**63), torch.tensor(number)))
    return net


class Stack:
    """Networks of one shape: ``theta`` (networks, parameters) and buffers (networks, ...)."""

    def __init__(self, nets: Iterable[nn.Module], device: str, dtype: torch.dtype) -> None:
        """Take the networks' numbers; at most two of them are held at a time."""
        rows: list[Tensor] = []
        kept: list[dict[str, Tensor]] = []
        for net in nets:
            net = net.to(dtype)
            if not rows:
                self.base = net
            rows.append(torch.cat([p.detach().reshape(-1) for p in net.parameters()]))
            kept.append({name: b.detach().clone() for name, b in net.named_buffers()})
        self.theta = torch.stack(rows).to(device)
        self.buffers = {k: torch.stack([b[k] for b in kept]).to(device) for k in kept[0]}
        named = list(self.base.named_parameters())
        self.names = [name for name, _ in named]
        self.shapes = [p.shape for _, p in named]
        self.sizes = [p.numel() for _, p in named]
        self.base.to("meta")

    def parameters(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name as views of ``theta`` (..., parameters)."""
        parts = torch.split(theta, self.sizes, dim=-1)
        lead = theta.shape[:-1]
        return {
            name: part.view(*lead, *shape)
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def ticked(self, which: Tensor, tick: Tensor) -> dict[str, Tensor]:
        """Return the buffers of the networks ``which``, their dropouts at step ``tick``."""
        return {
            k: tick if k.split(".")[-1] == "tick" else v[which] for k, v in self.buffers.items()
        }

    def forward(
        self,
        theta: Tensor,
        buffers: Mapping[str, Tensor],
        x: Input,
        train: bool,
        batching: str = "vmap",
    ) -> Tensor:
        """Return (networks, rows, dims) of x (networks, rows, ...), a tensor or blocks of them."""
        self.base.train(train)

        def one(parameters: dict[str, Tensor], own: dict[str, Tensor], given: Input) -> Tensor:
            found: Tensor = functional_call(self.base, {**parameters, **own}, (given,))
            return found

        if batching == "vmap":
            return vmap(one)(self.parameters(theta), dict(buffers), x)
        return torch.stack(
            [
                one(self.parameters(row), {k: v[n] for k, v in buffers.items()}, _of(x, n))
                for n, row in enumerate(theta.unbind(0))
            ]
        )


def _of(x: Input, number: int) -> Input:
    return {k: v[number] for k, v in x.items()} if isinstance(x, dict) else x[number]


def padded(rows: Sequence[object], device: str) -> tuple[Tensor, Tensor]:
    """Return row numbers of different counts as (problems, most), and where they are real.

    >>> import numpy as np
    >>> padded([np.array([4, 5]), np.array([7])], "cpu")[0].tolist()
    [[4, 5], [7, 0]]
    """
    tensors = [torch.as_tensor(r, dtype=torch.int64) for r in rows]
    most = max((len(t) for t in tensors), default=0)
    places = torch.zeros((len(tensors), most), dtype=torch.int64)
    real = torch.zeros((len(tensors), most), dtype=torch.bool)
    for number, own in enumerate(tensors):
        places[number, : len(own)], real[number, : len(own)] = own, True
    return places.to(device), real.to(device)


def shuffled(seeds: Tensor, epoch: int, real: Tensor) -> Tensor:
    """Return an order of every problem's rows for an epoch (problems, most), real rows first.

    It depends on the problem's seed, the epoch and the number of its rows alone.
    """
    place = torch.arange(real.shape[1], device=real.device)
    number = torch.tensor(epoch, device=real.device)
    keys = mixed(seeds[:, None], number, place[None, :])
    return torch.where(real, keys, 2**40).argsort(dim=1, stable=True)


def seeds_of(problems: Sequence[Problem], device: str) -> Tensor:
    """Return the problems' seeds, int64 (problems,)."""
    return torch.tensor([p.seed % 2**63 for p in problems], dtype=torch.int64, device=device)
