import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from sfqa.errors import UserError
from sfqa.regression import losses
from sfqa.regression.loss_terms import LOSS_NAMES, read_loss_terms
from sfqa.regression.networks import separate_scores

ROWS = 7


def batch(dims=1, seed=0, gaps=0.0):
    numbers = np.random.default_rng(seed)
    prediction, target = (torch.from_numpy(numbers.normal(size=(ROWS, dims))) for _ in "pt")
    mask = torch.from_numpy(numbers.random((ROWS, dims)) >= gaps)
    target[~mask] = torch.nan
    return prediction.requires_grad_(), target, mask


def mean(values):
    return sum(values) / len(values)


def plain_mae(p, y):
    return mean([abs(a - b) for a, b in zip(p, y, strict=True)])


def plain_mse(p, y):
    return mean([(a - b) ** 2 for a, b in zip(p, y, strict=True)])


def plain_plcc(p, y):
    return (1 - np.corrcoef(p, y)[0, 1]) / 2


def plain_rank_simplevqa(p, g, threshold=math.inf):
    total = pairs = 0.0
    for i, j in itertools.product(range(len(p)), repeat=2):
        if 0 < abs(g[i] - g[j]) < threshold:
            pairs += 1
            total += max(0.0, -np.sign(g[i] - g[j]) * (p[i] - p[j]))
    return total / (pairs + 1e-8)


def plain_rank_aigcvqa(s, y):
    total = 0.0
    for i, j in itertools.product(range(len(s)), repeat=2):
        e = 1 if y[i] >= y[j] else -1
        total += max(0.0, abs(y[i] - y[j]) - e * (s[i] - s[j]))
    return total / len(s) ** 2


def plain_fidelity(s, y):
    found = []
    for i, j in itertools.permutations(range(len(s)), 2):
        p, q = float(y[i] >= y[j]), norm.cdf((s[i] - s[j]) / math.sqrt(2))
        found.append(1 - math.sqrt(p * q) - math.sqrt((1 - p) * (1 - q)))
    return mean(found)


def plain_plcc_fastvqa(p, y):
    p, y = ((v - v.mean()) / v.std() for v in (np.asarray(p), np.asarray(y)))
    rho = (p * y).mean()
    return (((p - y) ** 2).mean() / 4 + ((rho * p - y) ** 2).mean() / 4) / 2


def plain_rank_fastvqa(s, y):
    pairs = [max(0.0, -np.sign(y[i] - y[j]) * (s[i] - s[j]))
             for i, j in itertools.permutations(range(len(s)), 2)]  # fmt: skip
    return mean(pairs) / (1 + max(pairs))


PLAIN = {
    "plcc_fastvqa": plain_plcc_fastvqa, "rank_fastvqa": plain_rank_fastvqa,
    "mae": plain_mae, "l1": plain_mae, "mse": plain_mse, "plcc": plain_plcc,
    "rank_simplevqa": plain_rank_simplevqa, "rank_aigcvqa": plain_rank_aigcvqa,
    "fidelity": plain_fidelity,
}  # fmt: skip
every = pytest.mark.parametrize("name", sorted(PLAIN))


def test_every_loss_has_its_formula_here():
    assert set(PLAIN) == set(losses.LOSSES)


@every
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_the_loss_is_its_formula_on_the_known_rows(name, gaps):
    p, y, mask = batch(dims=3, seed=4, gaps=gaps)
    got = losses.LOSSES[name](p, y, mask)
    expected = mean(
        [PLAIN[name](*(v[mask[:, d], d].detach().numpy() for v in (p, y))) for d in range(3)]
    )
    assert float(got.detach()) == pytest.approx(expected, rel=1e-12)
    (gradient,) = torch.autograd.grad(got, p)
    assert gradient.isfinite().all()
    assert (gradient[~mask] == 0).all()
    assert gradient[mask].abs().max() > 1e-4


@every
def test_the_gradient_is_that_of_the_numbers(name):
    p, y, mask = batch(seed=2)
    assert torch.autograd.gradcheck(lambda v: losses.LOSSES[name](v, y, mask), (p,), eps=1e-7)


@every
def test_a_wrong_order_is_pushed_to_the_right_one(name):
    p = torch.tensor([[1.0], [0.0]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    mask = torch.ones(2, 1, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(losses.LOSSES[name](p, y, mask), p)
    if name.startswith("plcc"):  # two points are always on a line: no slope is left
        return
    assert gradient[0] > 0 > gradient[1]


@every
@pytest.mark.parametrize("prediction", ["constant", "random"])
@pytest.mark.parametrize("target", ["constant", "random"])
@pytest.mark.parametrize("rows", [1, 2, 8])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_batch_gives_nan(name, prediction, target, rows, known, dtype):
    torch.manual_seed(0)
    values = {
        "constant": torch.full((rows, 2), 3.0, dtype=dtype),
        "random": torch.randn(rows, 2, dtype=dtype),
    }
    p = values[prediction].clone().requires_grad_()
    mask = torch.full((rows, 2), known)
    loss = losses.LOSSES[name](p, values[target], mask)
    (gradient,) = torch.autograd.grad(loss, p)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    if not known:
        assert loss == 0
        assert (gradient == 0).all()


def test_far_predictions_still_have_a_slope_under_thurstone():
    p = torch.tensor([[12.0], [0.0]], requires_grad=True)
    y = torch.tensor([[0.0], [1.0]])
    loss = losses.fidelity(p, y, torch.ones(2, 1, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(loss, p)
    assert float(loss.detach()) == pytest.approx(1.0)
    assert gradient.isfinite().all()
    assert gradient[0] > 0


@given(arrays(np.float64, 6, elements=st.floats(-30, 30)))
@settings(max_examples=40, deadline=None)
def test_log_phi_is_scipys(z):
    got = torch.special.log_ndtr(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(got, norm.logcdf(z), rtol=1e-11, atol=1e-300)


def test_the_order_of_arguments_matters_to_the_rank_term():
    p, y, mask = batch(seed=3)
    (gradient,) = torch.autograd.grad(losses.rank_simplevqa(p, y, mask), p)
    assert gradient.abs().sum() > 0.1
    # As the published script calls it, the mask is made of predictions and the signs too:
    # sign(p_i - p_j)(y_i - y_j) has no slope in p but where the order changes.
    (gradient,) = torch.autograd.grad(losses.rank_simplevqa(y, p, mask) + 0 * p.sum(), p)
    assert (gradient == 0).all()


def test_threshold_leaves_far_pairs_out():
    p, y, mask = batch(seed=5)
    got = losses.parse("rank_simplevqa", 0.5)(p, y, mask)
    expected = plain_rank_simplevqa(p.detach().numpy()[:, 0], y.numpy()[:, 0], 0.5)
    assert float(got.detach()) == pytest.approx(expected, rel=1e-12)
    assert expected != pytest.approx(
        plain_rank_simplevqa(p.detach().numpy()[:, 0], y.numpy()[:, 0])
    )


#: The official loss functions on eight labels and predictions, and their gradients with respect to
#: the predictions: DOVER f1ddc96 and FAST-VQA 9f264e4, SimpleVQA 017edda and FocusQ.
LABELS = [62.799999, 70.099998, 49.75, 53.919998, 57.209999, 54.73, 36.669998, 69.309998]
PREDICTIONS = [
    0.39199999,
    0.35530001,
    0.2326,
    0.26440001,
    0.2054,
    0.28659999,
    0.044100001,
    0.43990001,
]
OFFICIAL_PLCC = (
    0.037617084,
    [0.16919379, -0.35244644, 0.17234074, 0.092300944, -0.31817138, 0.14293526, 0.056813389, 0.037033677],
)  # fmt: skip
OFFICIAL_RANK = (
    0.0095064677,
    [0.032928534, -0.057092115, 0.032928534, 0.032928534, -0.098785602, 0.032928534, 0.0, 0.024163581],
)  # fmt: skip
OFFICIAL_FASTVQA = (
    0.040469024,
    [0.17907235, -0.36957407, 0.1822193, 0.1021795, -0.34780705, 0.15281382, 0.056813389, 0.044282749],
)  # fmt: skip
OFFICIAL_L1_RANK = (8.5475044, [0.125, -0.625, 0.125, 0.125, -0.125, 0.125, -0.125, 0.625])
#: L1RankLoss(labels, outputs), the order in which SimpleVQA's train.py calls it.
OFFICIAL_L1_RANK_SWAPPED = (4.3175011, [0.125, -0.125, 0.125, 0.125, -0.125, 0.125, -0.125, 0.125])
OFFICIAL_FOCUSQ = (
    8.5851212,
    [0.12669194, -0.62852448, 0.12672341, 0.12592301, -0.12818171, 0.12642935, -0.12443186, 0.62537032],
)  # fmt: skip


#: L1RankLoss(labels, outputs), the order in which FocusQ's train.py calls it.
OFFICIAL_FOCUSQ_SWAPPED = (
    4.3551183,
    [0.12669194, -0.12852447, 0.12672341, 0.12592301, -0.12818171, 0.12642935, -0.12443186, 0.12537034],
)  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "scale", "expected"),
    [
        ("plcc_fastvqa", (1, 0), OFFICIAL_PLCC),
        ("rank_fastvqa", (1, 0), OFFICIAL_RANK),
        ("plcc_fastvqa + 0.3 rank_fastvqa", (1, 0), OFFICIAL_FASTVQA),
        ("mae + rank_simplevqa", (100, 30), OFFICIAL_L1_RANK),
        ("mae + rank_simplevqa + plcc_fastvqa", (100, 30), OFFICIAL_FOCUSQ),
    ],
)
def test_losses_and_gradients_are_those_of_the_official_code(loss, scale, expected):
    factor, shift = scale
    labels = torch.tensor(LABELS)[:, None]
    predictions = (torch.tensor(PREDICTIONS)[:, None] * factor + shift).requires_grad_()
    known = torch.ones(8, 1, dtype=torch.bool)
    value = losses.parse(loss, 1.0)(predictions, labels, known)
    (gradient,) = torch.autograd.grad(value, predictions)
    assert float(value.detach()) == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(gradient[:, 0].numpy(), expected[1], atol=2e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mae + rank_simplevqa", OFFICIAL_L1_RANK_SWAPPED),
        ("mae + rank_simplevqa + plcc_fastvqa", OFFICIAL_FOCUSQ_SWAPPED),
    ],
)
def test_the_published_order_of_arguments_leaves_the_rank_term_without_a_gradient(loss, expected):
    labels = torch.tensor(LABELS)[:, None]
    outputs = (torch.tensor(PREDICTIONS)[:, None] * 100 + 30).requires_grad_()
    known = torch.ones(8, 1, dtype=torch.bool)
    value = losses.parse(loss, 1.0)(labels, outputs, known)
    (gradient,) = torch.autograd.grad(value, outputs)
    assert float(value.detach()) == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(gradient[:, 0].numpy(), expected[1], atol=2e-6)


def test_branches_have_a_loss_each_as_in_dovers_training():
    """DOVER sums PLCC and .3 rank loss over both branches."""
    labels, known = torch.tensor(LABELS)[:, None], torch.ones(8, 1, dtype=torch.bool)
    scores = torch.tensor(PREDICTIONS)[:, None]
    branches = separate_scores.join_scores([scores, 1 - 2 * scores]).requires_grad_()
    loss = losses.parse("plcc_fastvqa + 0.3 rank_fastvqa")
    value = separate_scores.sum_losses(loss)(branches, labels, known)
    (gradient,) = torch.autograd.grad(value, branches)
    second = branches.detach()[:, 1:].requires_grad_()
    second_value = loss(second, labels, known)
    (second_gradient,) = torch.autograd.grad(second_value, second)
    assert float(value.detach()) == pytest.approx(
        OFFICIAL_FASTVQA[0] + float(second_value.detach()), rel=1e-6
    )
    np.testing.assert_allclose(gradient[:, 0].numpy(), OFFICIAL_FASTVQA[1], atol=2e-6)
    torch.testing.assert_close(gradient[:, 1:], second_gradient)
    assert float(separate_scores.sum_losses(loss)(scores, labels, known)) == pytest.approx(
        OFFICIAL_FASTVQA[0], rel=1e-6
    )


def test_sums():
    p, y, mask = batch(dims=2, seed=6)
    got = losses.parse("fidelity + plcc + 0.1*mae")(p, y, mask)
    parts = [losses.LOSSES[n](p, y, mask) for n in ("fidelity", "plcc", "mae")]
    torch.testing.assert_close(got, parts[0] + parts[1] + 0.1 * parts[2])
    torch.testing.assert_close(losses.parse("mse+mse")(p, y, mask), 2 * losses.mse(p, y, mask))
    weighted = losses.combine_losses({"mae": 1.0, "rank_simplevqa": 2.0})(p, y, mask)
    torch.testing.assert_close(weighted, losses.parse("l1 + 2 rank_simplevqa")(p, y, mask))


@pytest.mark.parametrize("text", ["", "mse +", "- mse", "3", "mse * 2", "mse, plcc", "1.2.3 mae"])
def test_text_that_is_no_loss(text):
    with pytest.raises(UserError, match="write it as 'mae"):
        losses.parse(text)


def test_an_unknown_loss():
    with pytest.raises(UserError, match="did you mean 'fidelity'"):
        losses.parse("mae + fidelty")


def test_the_names_that_planning_knows_are_those_of_the_losses():
    assert tuple(losses.LOSSES) == LOSS_NAMES
    assert read_loss_terms("1e+1 mae + .5*plcc") == {"mae": 10.0, "plcc": 0.5}
