import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from networks import count_parameters
from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.blocks import Steps
from sfqa.regression.networks.rectifier import Rectified
from sfqa.regression.problems import make_problem

HEAD = heads.load_head("rectifier")


def options(**changed):
    return heads.merge_options("rectifier", changed)


def test_the_published_features_need_so_many_numbers():
    with torch.device("meta"):
        net = Rectified({"base": 1, "spatial": 7168, "temporal": 2304}, 1)
    each = [(d * 128 + 128) + (128 * 2 + 2) for d in (7168, 2304)]
    assert count_parameters(net) == sum(each) == 1_213_188


def test_it_begins_with_the_base_score():
    base = torch.randn(6, 1)
    for direction in (1, -1):
        net = Rectified({"base": 1, "spatial": 4, "temporal": 3}, 2, direction=direction)
        x = {"base": base, "spatial": torch.randn(6, 5, 4), "temporal": torch.randn(6, 3)}
        torch.testing.assert_close(net(x), direction * base.expand(6, 2), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("roles", [("spatial", "temporal"), ("spatial", "temporal", "alignment")])
def test_it_is_equations_9_and_8(roles):
    torch.manual_seed(0)
    net = Rectified({"base": 1, **dict.fromkeys(roles, 4)}, 1, hidden=6)
    x = {role: torch.randn(7, 4) for role in roles} | {"base": torch.randn(7, 1)}
    alpha, beta = torch.ones(7, 1), torch.zeros(7, 1)
    for role in roles:
        for parameter in net.rectifiers[role].parameters():
            torch.nn.init.normal_(parameter)
        log_scale, shift = net.rectifiers[role](x[role])
        alpha, beta = alpha * log_scale.exp(), beta + shift
    assert (alpha > 0).all()
    assert alpha.std() > 0.1
    expected = alpha ** (1 / len(roles)) * x["base"] + beta / len(roles)
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-5)


def test_steps_are_averaged():
    net = Rectified({"base": 1, "spatial": 4}, 1)
    torch.nn.init.normal_(net.rectifiers["spatial"].net[-1].weight)
    base, seen = torch.randn(5, 1), torch.randn(5, 8, 4)
    torch.testing.assert_close(
        net({"base": base, "spatial": seen}), net({"base": base, "spatial": seen.mean(dim=1)})
    )


def task(rows, seed=0):
    """The base counts as much as the spatial feature lets it; motion is added."""
    numbers = np.random.default_rng(seed)
    base = numbers.normal(size=(rows, 1))
    spatial, motion = numbers.normal(size=(rows, 3)), numbers.normal(size=(rows, 3))
    y = np.exp(spatial[:, 0] / 2) * base[:, 0] + motion[:, 0]
    return {k: v.astype(np.float32) for k, v in
            (("b", base), ("s", spatial), ("t", motion))}, 50 + 10 * y  # fmt: skip


def test_both_rectifiers_help_and_together_is_as_one_by_one(tmp_path):
    x, y = task(500)
    made = [make_problem(range(300), range(300, 400), y, seed) for seed in range(2)]

    def fitted(problems=made, **changed):
        how = options(
            learning_rate=2e-2, epochs=30, batch_rows=100, hidden=16, precision="float64", **changed
        )
        return HEAD.fit(x, problems, how, tmp_path / str((changed, len(problems))), "cpu")

    def score(models):
        found = models.predict(x)[:, 400:, 0]
        return np.mean([spearmanr(p, y[400:])[0] for p in found])

    full = fitted()
    assert score(full) > 0.95
    assert score(full) > score(fitted(spatial=False)) + 0.03
    assert score(full) > score(fitted(temporal=False)) + 0.1
    alone = fitted(made[1:]).predict(x)
    assert np.abs(full.predict(x)[1] - alone[0]).max() < 1e-6 * y.std()


@pytest.mark.parametrize("off", [{}, {"spatial": False}, {"temporal": False}])
def test_a_model_file_predicts_the_same(tmp_path, off):
    x, y = task(60)
    made = [make_problem(range(40), range(40, 50), y)]
    how = options(epochs=3, hidden=4, **off)
    models = HEAD.fit(x, made, how, tmp_path, "cpu")
    back = HEAD.restore([models.state(0)], how, "cpu")
    np.testing.assert_allclose(back.predict(x), models.predict(x), rtol=1e-6, atol=1e-4)


def test_a_wide_base_becomes_a_score_first(tmp_path):
    x, y = task(60)
    x = {"b": np.tile(x["b"], (1, 5)) + x["s"][:, :1], "s": x["s"]}
    made = [make_problem(range(40), range(40, 50), y)]
    found = HEAD.fit(x, made, options(epochs=2), tmp_path, "cpu").predict(x)
    assert found.shape == (1, 60, 1)
    assert np.isfinite(found).all()


def test_mistakes_are_sentences(tmp_path):
    assert [i.steps for i in HEAD.list_inputs(options(), ["b", "s", "t"])] == [Steps(0)] * 3
    for inputs in (["b"], list("bstax")):
        with pytest.raises(UserError, match="base, spatial, temporal, alignment"):
            HEAD.list_inputs(options(), inputs)
    x, y = task(20)
    with pytest.raises(UserError, match="base_direction is 2; give 1 or -1"):
        HEAD.fit(
            x,
            [make_problem(range(10), range(10, 15), y)],
            options(base_direction=2),
            tmp_path,
            "cpu",
        )
