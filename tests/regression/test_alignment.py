"""The head of the alignment rows: what it reads, and that it learns what lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.blocks import Steps
from sfqa.regression.heads.alignment import join_embeddings
from sfqa.regression.problems import Problem, make_problem

HEAD: Any = heads.load_head("alignment")
GROUPS, PER_GROUP, WIDTH = 90, 10, 24
#: With so many numbers 600 videos do not show a network of plain layers that products count.
LARGE_WIDTH = 192
Blocks = dict[str, npt.NDArray[np.float32]]


def draw_embeddings(seed: int, width: int = WIDTH) -> tuple[Blocks, npt.NDArray[np.float64]]:
    """Embeddings of videos of 90 portraits, and how well the sound fits each: a cosine.

    A portrait moves all embeddings of its videos, and the sound of most videos is of another size.
    """
    numbers = np.random.default_rng(seed)
    portraits = np.repeat(numbers.normal(size=(GROUPS, width)), PER_GROUP, axis=0)
    video = 0.5 * portraits + numbers.normal(size=portraits.shape)
    fit = numbers.uniform(-1, 1, len(video))
    noise = numbers.normal(size=video.shape)
    noise -= video * (noise * video).sum(1, keepdims=True) / (video**2).sum(1, keepdims=True)
    unit_video, unit_noise = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (video, noise))
    audio = fit[:, None] * unit_video + np.sqrt(1 - fit**2)[:, None] * unit_noise
    audio *= 20 * numbers.uniform(0.95, 1, (len(video), 1))
    return {"v": video.astype(np.float32), "a": audio.astype(np.float32)}, fit


def split_groups(quality: npt.NDArray[Any]) -> tuple[Problem, slice]:
    """Train on 60 portraits, select on 15; the last 15 are the test."""
    rows = np.arange(GROUPS * PER_GROUP)
    train, validation, test = rows[:600], rows[600:750], slice(750, None)
    return make_problem(train, validation, 50 + 10 * quality), test


def score(blocks: Blocks, quality: npt.NDArray[Any], folder: Path, **options: Any) -> float:
    """SRCC of the test part after a sixth of the default epochs, which is enough here."""
    merged = heads.merge_options("alignment", {"epochs": 15, **options})
    problem, test = split_groups(quality)
    models = HEAD.fit(blocks, [problem], merged, folder / str(options), "cpu")
    return float(spearmanr(models.predict(blocks)[0, test, 0], quality[test]).statistic)


def test_reading_1_learns_what_lies_in_the_embeddings(tmp_path: Path) -> None:
    blocks, _ = draw_embeddings(0)
    weights = np.random.default_rng(1).normal(size=(2, WIDTH))
    quality = blocks["v"] @ weights[0] + blocks["a"] @ weights[1] / 4
    assert score(blocks, quality, tmp_path) > 0.9


def test_reading_2_learns_agreement_and_reading_1_hardly_does(tmp_path: Path) -> None:
    blocks, fit = draw_embeddings(0, LARGE_WIDTH)
    assert score(blocks, fit, tmp_path, product=True) > 0.9
    assert score(blocks, fit, tmp_path, product=False) < 0.6


@pytest.mark.parametrize("product", [False, True])
def test_shuffled_labels_show_nothing(product: bool, tmp_path: Path) -> None:
    blocks, fit = draw_embeddings(0)
    shuffled = np.random.default_rng(2).permutation(fit)
    # Four standard deviations of the SRCC of 150 rows in random order.
    assert abs(score(blocks, shuffled, tmp_path, product=product, epochs=5)) < 4 / np.sqrt(149)


@pytest.mark.parametrize("product", [False, True])
def test_a_row_alone_gets_the_score_that_it_gets_among_others(
    product: bool, tmp_path: Path
) -> None:
    blocks, fit = draw_embeddings(3)
    options = heads.merge_options("alignment", {"product": product, "epochs": 3})
    models = HEAD.fit(blocks, [split_groups(fit)[0]], options, tmp_path, "cpu")
    scores = models.predict(blocks)[0, :, 0]
    restored = HEAD.restore([models.state(0)], options, "cpu")
    for row in (0, 421, 899):
        alone = {name: values[row : row + 1] for name, values in blocks.items()}
        assert restored.predict(alone)[0, 0, 0] == pytest.approx(scores[row], abs=1e-9)


def test_what_is_read() -> None:
    blocks, fit = draw_embeddings(4)
    plain = join_embeddings(blocks["v"], blocks["a"], False)
    joined = join_embeddings(blocks["v"], blocks["a"], True)
    assert plain.shape == (900, 2 * WIDTH)
    np.testing.assert_array_equal(joined[:, : 2 * WIDTH], plain)
    np.testing.assert_array_equal(joined[:, 2 * WIDTH : -1], blocks["v"] * blocks["a"])
    np.testing.assert_allclose(joined[:, -1], fit, atol=1e-6)
    silent = join_embeddings(np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32), True)
    assert silent[0, -1] == 0


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    options = heads.merge_options("alignment", {"product": True})
    assert [i.steps for i in HEAD.list_inputs(options, ["v", "a"])] == [Steps(0)] * 2
    with pytest.raises(UserError, match="it reads 2, in this order: video, audio"):
        HEAD.list_inputs(options, ["v"])
    blocks, fit = draw_embeddings(5)
    blocks["a"] = blocks["a"][:, :7]
    with pytest.raises(UserError, match="has 24 numbers, that of the sound 7; .*product: false"):
        HEAD.fit(blocks, [split_groups(fit)[0]], options, tmp_path, "cpu")
