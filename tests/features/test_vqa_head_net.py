"""The regression head of FAST-VQA and DOVER."""

from __future__ import annotations

import torch

from sfqa.features.vqa_head_net import VqaHead


def make_head(channels: int = 768) -> VqaHead:
    torch.manual_seed(0)
    return VqaHead(channels).eval()


def draw_maps(count: int, channels: int = 768) -> torch.Tensor:
    return torch.randn(count, channels, 16, 7, 7, generator=torch.Generator().manual_seed(1))


def test_its_keys_and_shapes_are_those_of_the_checkpoints():
    shapes = {key: tuple(value.shape) for key, value in make_head().state_dict().items()}
    assert shapes == {
        "fc_hid.weight": (64, 768, 1, 1, 1), "fc_hid.bias": (64,),
        "fc_last.weight": (1, 64, 1, 1, 1), "fc_last.bias": (1,),
    }  # fmt: skip


def test_the_score_is_the_mean_of_a_perceptron_at_every_position():
    head, maps = make_head(), draw_maps(2)
    positions = maps.flatten(2).transpose(1, 2)
    hidden = torch.nn.functional.gelu(
        positions @ head.fc_hid.weight.flatten(1).T + head.fc_hid.bias
    )
    expected = (hidden @ head.fc_last.weight.flatten(1).T + head.fc_last.bias).mean(dim=1)
    torch.testing.assert_close(head.score_maps(maps), expected, rtol=0, atol=1e-6)


def test_a_float16_map_changes_the_score_by_less_than_2e_5():
    head, maps = make_head(), draw_maps(4)
    change = head.score_maps(maps.half().float()) - head.score_maps(maps)
    assert 0 < float(change.detach().abs().max()) < 2e-5


def test_dropout_acts_in_training_alone():
    head, maps = make_head(8), draw_maps(1, 8)
    assert torch.equal(head(maps), head(maps))
    head.train()
    assert not torch.equal(head(maps), head(maps))
