import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from networks import count_parameters
from sfqa.errors import UserError
from sfqa.regression import heads, network_head
from sfqa.regression.blocks import Steps
from sfqa.regression.networks.attention import AttentionLayer
from sfqa.regression.networks.ugvq import ROLES, Scma, Sizes, Ugvq, ablations
from sfqa.regression.problems import make_problem

PAPER = {"spatial": 1024, "temporal": 2304, "text": 1024}
SMALL = Sizes(width=16, layers=2, feedforward=32, fusion_heads=4, fusion_feedforward=24, hidden=40)
WIDTHS = {"spatial": 12, "temporal": 10, "text": 16}
OPTIONS = {
    "width": 16, "layers": 1, "feedforward": 32, "fusion_feedforward": 32, "hidden": 64,
    "learning_rate": 1e-2, "epochs": 25, "batch_rows": 100, "loss": "mse",
}  # fmt: skip


HEAD = heads.load_head("ugvq")


def options(**changed):
    return heads.merge_options("ugvq", {**OPTIONS, **changed})


def blocks(rows, seed=0):
    torch.manual_seed(seed)
    return {
        "spatial": torch.randn(rows, 8, 12),
        "temporal": torch.randn(rows, 8, 10),
        "text": torch.randn(rows, 16),
    }


def task(rows, seed=0, keys=4):
    """Of eight frames, those count whose key the text names; then the motion is added."""
    numbers = np.random.default_rng(seed)
    eye = np.eye(keys)
    key, text = eye[numbers.integers(0, keys, (rows, 8))], eye[numbers.integers(0, keys, rows)]
    value, motion = numbers.normal(size=(rows, 8)), numbers.normal(size=(rows, 4, 3))
    named = (key * text[:, None]).sum(axis=2)
    y = (named * value).sum(axis=1) / 1.6 + motion[:, :, 0].sum(axis=1) / 2
    x = {
        "frames": np.concatenate([key, value[:, :, None]], axis=2).astype(np.float32),
        "motion": motion.astype(np.float32),
        "prompt": text.astype(np.float32),
    }
    return x, 50 + 8 * y


def problems(rows, y, trials, train, validation):
    made, tests = [], []
    for seed in range(trials):
        order = np.random.default_rng(seed).permutation(rows)
        made.append(make_problem(order[:train], order[train : train + validation], y, seed))
        tests.append(order[train + validation :])
    return made, tests


def test_the_papers_model_has_as_many_numbers_as_its_layers_need():
    with torch.device("meta"):
        net = Ugvq(PAPER, 3)
    d, f, g, h = 1024, 2048, 1536, 9216
    attention, norms = 4 * (d * d + d), 2 * 2 * d
    encoder = 8 * (attention + (d * f + f) + (f * d + d) + norms)
    scma = 2 * (attention + (d * g + g) + (g * d + d) + norms)
    regressor = (9 * d * h + h) + (h * 3 + 3)
    assert {name: count_parameters(part) for name, part in net.named_children()} == {
        "project": 2304 * d + d, "encoder": encoder, "fusion": 3 * scma, "regressor": regressor,
    }  # fmt: skip
    assert count_parameters(net) == 198_635_523
    assert [layer.attention.num_heads for layer in net.encoder] == [2] * 8
    assert [part.there.attention.num_heads for part in net.fusion.values()] == [4] * 3
    assert list(net.fusion) == ["spatial_text", "spatial_temporal", "temporal_text"]


def test_the_papers_model_runs_forward():
    with torch.device("meta"):
        net = Ugvq(PAPER, 3)
    net.to_empty(device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.uniform_(-0.02, 0.02)
        x = {"spatial": torch.randn(2, 8, 1024), "temporal": torch.randn(2, 8, 2304),
             "text": torch.randn(2, 1024)}  # fmt: skip
        # Nine vectors of 1024: the 9216 of the text.
        assert net.compute_features(x).shape == (2, 9216)
        assert net(x).shape == (2, 3)


def test_the_defaults_are_the_papers():
    defaults = heads.merge_options("ugvq", None)
    with torch.device("meta"):
        shapes = {"spatial": (8, 1024), "temporal": (8, 2304), "text": (1024,)}
        assert count_parameters(HEAD.build(shapes, 3, defaults)) == 198_635_523
    assert [i.steps for i in HEAD.list_inputs(defaults, list("abc"))] == [
        Steps(8),
        Steps(8),
        Steps(0),
    ]
    made = network_head._make_settings(defaults)
    assert (made.learning_rate, made.epochs, made.batch_rows) == (1e-5, 50, 32)
    assert (made.decay, made.decay_every) == (0.9, 5)


def test_an_encoder_layer_is_torchs():
    torch.manual_seed(0)
    ours = AttentionLayer(16, 2, 32)
    theirs = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.5)
    theirs.self_attn.load_state_dict(ours.attention.state_dict())
    for name, part in (("linear1", ours.first), ("linear2", ours.second), ("norm1", ours.norm1),
                       ("norm2", ours.norm2)):  # fmt: skip
        getattr(theirs, name).load_state_dict(part.state_dict())
    x, other = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    torch.testing.assert_close(ours(x, x), theirs(x), rtol=1e-5, atol=1e-5)
    attended, _ = theirs.self_attn(x, other, other)
    hidden = theirs.norm1(x + attended)
    expected = theirs.norm2(hidden + theirs.linear2(torch.relu(theirs.linear1(hidden))))
    torch.testing.assert_close(ours(x, other), expected, rtol=1e-5, atol=1e-5)


def test_scma_is_both_directions_concatenated():
    torch.manual_seed(0)
    layer = Scma(SMALL)
    one, other = torch.randn(4, 8, 16), torch.randn(4, 1, 16)
    got = layer(one, other)
    assert got.shape == (4, 32)
    torch.testing.assert_close(got[:, :16], layer.there(one, other).mean(dim=1))
    torch.testing.assert_close(got[:, 16:], layer.back(other, one).mean(dim=1))


def test_table_5_is_what_is_joined():
    for roles, fused in ablations():
        net = Ugvq({r: WIDTHS[r] for r in roles}, 3, SMALL, fusion=fused)
        x = blocks(5)
        vectors = len(roles) + (6 if fused else 0)
        assert net.compute_features(x).shape == (5, 16 * vectors)
        assert net(x).shape == (5, 3)
        for role in ROLES:
            changed = net({**x, role: x[role] + torch.randn_like(x[role])})
            assert torch.equal(changed, net(x)) == (role not in roles), (roles, role)
    assert len(ablations()) == 8


def test_each_output_depends_on_all_three_modalities():
    net = Ugvq(WIDTHS, 3, SMALL)
    x = {k: v.requires_grad_() for k, v in blocks(4).items()}
    for dim in range(3):
        for gradient in torch.autograd.grad(net(x)[:, dim].sum(), list(x.values())):
            assert (gradient.flatten(1).abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize(("tokens", "attends"), [("sequence", True), ("video", False)])
def test_one_key_would_leave_nothing_to_attend_to(tokens, attends):
    net = Ugvq(WIDTHS, 1, Sizes(**{**vars(SMALL), "tokens": tokens}))
    net(blocks(6)).sum().backward()
    attention = net.fusion["spatial_temporal"].there.attention
    query, _, value = attention.in_proj_weight.grad.chunk(3)
    assert bool(query.abs().max() > 1e-9) == attends
    assert value.abs().max() > 0


def test_the_order_of_frames_counts_with_positions_only():
    x = blocks(4)
    turned = {**x, "spatial": x["spatial"].flip(1)}
    for positions, moves in (("none", False), ("learned", True)):
        torch.manual_seed(0)
        net = Ugvq(WIDTHS, 1, Sizes(**{**vars(SMALL), "positions": positions}))
        assert bool((net(x) - net(turned)).abs().max() > 1e-5) == moves


@pytest.mark.thorough
def test_the_full_model_beats_each_ablation_where_all_modalities_matter(tmp_path):
    x, y = task(600)
    made, tests = problems(600, y, 2, 300, 100)

    def score(**changed):
        models = HEAD.fit(x, made, options(**changed), tmp_path / str(changed), "cpu")
        found = models.predict(x)[:, :, 0]
        return np.mean([spearmanr(p[t], y[t])[0] for p, t in zip(found, tests, strict=True)])

    full = score()
    assert full > 0.85
    # The text chooses among frames: without fusion the regressor has to find that out alone.
    assert full > score(fusion=False) + 0.04
    for role in ROLES:
        assert full > score(**{role: False}) + 0.1, role


def test_together_is_as_one_by_one(tmp_path):
    x, y = task(160)
    both = np.column_stack([y, y**2, -y])
    both[5, 1] = np.nan
    made, tests = problems(160, both, 4, 90, 30)
    how = options(dropout=0.1, epochs=4, batch_rows=32)
    together = HEAD.fit(x, made, how, tmp_path / "all", "cpu").predict(x)
    assert together.shape == (4, 160, 3)
    for n, one in enumerate(made):
        alone = HEAD.fit(x, [one], how, tmp_path / str(n), "cpu").predict(x)[0]
        assert (np.abs(together[n] - alone) / np.nanstd(both, axis=0)).max() < 1e-3
        for dim in range(3):
            pair = [spearmanr(p[tests[n], dim], y[tests[n]])[0] for p in (together[n], alone)]
            assert abs(pair[0] - pair[1]) < 1e-4


def test_a_model_file_predicts_the_same(tmp_path):
    x, y = task(80)
    made, _ = problems(80, y, 2, 40, 20)
    how = options(epochs=2, temporal=False)
    models = HEAD.fit(x, made, how, tmp_path, "cpu")
    # Keys in any order, as files may give them, and inputs of other names.
    state = dict(sorted(models.state(1).items()))
    back = HEAD.restore([state], how, "cpu")
    renamed = {f"other.{k}": v[:7] for k, v in x.items()}
    np.testing.assert_allclose(
        back.predict(renamed)[0], models.predict(x)[1, :7], rtol=1e-6, atol=1e-4
    )


def test_mistakes_are_sentences(tmp_path):
    x, y = task(20)
    made, _ = problems(20, y, 1, 10, 5)
    for changed, message in (
        ({"heads": 3}, "no multiple of 3 heads.*change its options"),
        ({"tokens": "words"}, "options.tokens.*sequence or video"),
        ({"positions": "sine"}, "options.positions.*none or learned"),
        ({"select": "plcc"}, "select is 'plcc'; give srcc or loss or none"),
        ({"loss": "maee"}, "no loss is called 'maee'"),
        ({"spatial": False, "temporal": False, "text": False}, "leave one"),
    ):
        with pytest.raises(UserError, match=message):
            HEAD.fit(x, made, options(**changed), tmp_path, "cpu")
    with pytest.raises(UserError, match="spatial, temporal, text"):
        HEAD.list_inputs(options(), ["clip.image"])
