"""The losses of the field.

A loss takes ``prediction`` and ``target`` (rows, dims) and ``mask`` (rows, dims), True for a known
MOS, and returns a scalar: the mean over the dimensions that have a known row. Cells that are not
under the mask change neither value nor gradient, and may be NaN in the target. A batch without a
known row, a constant one, or one of a single row gives finite values and gradients.

The order of the arguments is (prediction, target). SimpleVQA's published training script swaps
them, which leaves its rank term without a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sfqa.regression.loss_terms import check_loss_name, read_loss_terms

VERSION = 1

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

#: A batch whose sum of squares is smaller counts as constant; its PLCC is 0.
_TINY = 1e-8


def mae(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error.

    >>> round(float(mae(torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [2.0]]),
    ...                 torch.ones(2, 1, dtype=torch.bool))), 6)
    2.0
    """
    return _mean_rows((prediction - _fill_unknown(target, mask)).abs(), mask)


def mse(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error."""
    return _mean_rows((prediction - _fill_unknown(target, mask)) ** 2, mask)


def plcc(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return (1 - PLCC) / 2, from 0 to 1; .5 if predictions or targets are constant."""
    p, t = (_normalise(v, mask) for v in (prediction, _fill_unknown(target, mask)))
    return _mean_dims((1 - (p * t).sum(dim=0)) / 2, mask)


def plcc_fastvqa(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the PLCC loss of FAST-VQA and DOVER, from 0 to 0.5; 0.375 if either is constant.

    The mean of mse(p, g) / 4 and mse(rho p, g) / 4 on standardised p and g, which is
    (1 - rho) / 4 + (1 - rho^2) / 8. (Wu et al., ECCV 2022; the code at 9f264e4.)
    """
    p, t = (_normalise(v, mask) for v in (prediction, _fill_unknown(target, mask)))
    rho = (p * t).sum(dim=0)
    return _mean_dims((1 - rho) / 4 + (1 - rho**2) / 8, mask)


def rank_fastvqa(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the rank loss of FAST-VQA and DOVER.

    The mean of r = relu(-sign(y_i - y_j)(s_i - s_j)) over ordered pairs, divided by 1 + max r.
    """
    s, y = _pair_differences(prediction), _pair_differences(_fill_unknown(target, mask))
    lost = torch.where(_pair_mask(mask), torch.relu(-torch.sign(y) * s), 0.0)
    count = mask.sum(dim=0).to(s.dtype)
    pairs = (count * (count - 1)).clamp(min=1)
    return _mean_dims(lost.sum(dim=(0, 1)) / pairs / (1 + lost.amax(dim=(0, 1))), mask)


def rank_simplevqa(
    prediction: Tensor, target: Tensor, mask: Tensor, threshold: float = math.inf
) -> Tensor:
    """Return SimpleVQA's rank term over pairs whose targets differ by less than ``threshold``.

    sum M relu(-sign(g_i - g_j)(p_i - p_j)) / (sum M + 1e-8), M = 0 < |g_i - g_j| < threshold, in
    units of the target; the published threshold is 1 on MOS of 0..100. ``L1RankLoss`` is
    'mae + rank_simplevqa'. (Sun et al., arXiv 2204.14047; its code at 017edda5.)
    """
    p, g = _pair_differences(prediction), _pair_differences(_fill_unknown(target, mask))
    chosen = (g.abs() > 0) & (g.abs() < threshold) & _pair_mask(mask)
    wrong = torch.where(chosen, torch.relu(-torch.sign(g) * p), 0.0)
    pairs = chosen.sum(dim=(0, 1)).to(prediction.dtype)
    return _mean_dims(wrong.sum(dim=(0, 1)) / (pairs + 1e-8), mask)


def rank_aigcvqa(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return AIGC-VQA's rank loss, eq. 7: a pair should be as far apart as its MOS are.

    mean over all m^2 ordered pairs of max(0, |y_i - y_j| - e(y_i, y_j)(s_i - s_j)), with e = 1 if
    y_i >= y_j, else -1.
    """
    s, y = _pair_differences(prediction), _pair_differences(_fill_unknown(target, mask))
    e = torch.where(y >= 0, 1.0, -1.0).to(s.dtype)
    lost = torch.where(_pair_mask(mask), torch.relu(y.abs() - e * s), 0.0)
    count = mask.sum(dim=0).to(s.dtype)
    return _mean_dims(lost.sum(dim=(0, 1)) / (count**2).clamp(min=1), mask)


def fidelity(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the fidelity loss under Thurstone's model, mean over ordered pairs of two rows.

    1 - sqrt(p q) - sqrt((1 - p)(1 - q)), p = 1 if y_i >= y_j, else 0, and
    q = Phi((s_i - s_j) / sqrt(2)): both have variance 1, in units of the target. (Tsai et al. 2007;
    NTIRE 2025 XGC supplement, eq. 2 to 4; a bracket of its eq. 2 is misplaced.)
    """
    s, y = _pair_differences(prediction), _pair_differences(_fill_unknown(target, mask))
    # p is 0 or 1, so one root is left. As a logarithm it has no infinite slope at q = 0.
    z = torch.where(y >= 0, s, -s) / math.sqrt(2)
    lost = 1 - torch.exp(torch.special.log_ndtr(z) / 2)
    off_diagonal = ~torch.eye(len(y), dtype=torch.bool, device=y.device)[:, :, None]
    lost = torch.where(_pair_mask(mask) & off_diagonal, lost, 0.0)
    count = mask.sum(dim=0).to(s.dtype)
    return _mean_dims(lost.sum(dim=(0, 1)) / (count * (count - 1)).clamp(min=1), mask)


LOSSES: dict[str, Loss] = {
    "mae": mae,
    "l1": mae,
    "mse": mse,
    "plcc": plcc,
    "plcc_fastvqa": plcc_fastvqa,
    "rank_fastvqa": rank_fastvqa,
    "rank_simplevqa": rank_simplevqa,
    "rank_aigcvqa": rank_aigcvqa,
    "fidelity": fidelity,
}


def combine_losses(weights: Mapping[str, float], threshold: float = math.inf) -> Loss:
    """Return the weighted sum of losses by name (:data:`LOSSES`).

    ``threshold`` is that of ``rank_simplevqa``. Raises :class:`UserError` for an unknown name.
    """
    for name in weights:
        check_loss_name(name)

    def compute_total(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        parts = []
        for name, weight in weights.items():
            if name == "rank_simplevqa":
                value = rank_simplevqa(prediction, target, mask, threshold)
            else:
                value = LOSSES[name](prediction, target, mask)
            parts.append(weight * value)
        return torch.stack(parts).sum(dim=0)

    return compute_total


def parse(text: str, threshold: float = math.inf) -> Loss:
    """Return the loss that a configuration writes, as 'mse' or 'mae + 0.5 plcc'.

    Raises :class:`UserError` for a text that is not a sum of known losses.

    >>> known = torch.ones(3, 1, dtype=torch.bool)
    >>> p, g = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[3.0], [3.0], [3.0]])
    >>> round(float(parse("mae + 0.5*mse")(p, g, known)), 6)
    1.833333
    """
    return combine_losses(read_loss_terms(text), threshold)


def _fill_unknown(target: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, target, 0.0)


def _mean_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over known rows, then over dimensions."""
    count = mask.sum(dim=0).to(values.dtype).clamp(min=1)
    return _mean_dims(torch.where(mask, values, 0.0).sum(dim=0) / count, mask)


def _mean_dims(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the dimensions that have a known row."""
    rated = mask.any(dim=0)
    count = rated.sum().to(values.dtype).clamp(min=1)
    return torch.where(rated, values, 0.0).sum() / count


def _normalise(values: Tensor, mask: Tensor) -> Tensor:
    """Known rows, centred and of length 1 in every dimension; 0 if they are constant."""
    count = mask.sum(dim=0).to(values.dtype).clamp(min=1)
    mean = torch.where(mask, values, 0.0).sum(dim=0) / count
    centred = torch.where(mask, values - mean, 0.0)
    # Clamped before the root: its slope at 0 is infinite, and 0 times infinity is NaN.
    return centred / (centred**2).sum(dim=0).clamp(min=_TINY).sqrt()


def _pair_differences(values: Tensor) -> Tensor:
    return values[:, None] - values[None, :]


def _pair_mask(mask: Tensor) -> Tensor:
    return mask[:, None] & mask[None, :]
