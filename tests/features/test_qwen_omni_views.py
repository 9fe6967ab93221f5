"""What Qwen2.5-Omni's language model reads of a video is kept whole: the levels follow from it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from golden_weights import draw_song, draw_video
from sfqa.errors import UserError
from sfqa.features import base, view_columns
from sfqa.features.extractors import qwen_omni
from sfqa.features.qwen_omni_input import VideoWithSound
from sfqa.features.qwen_omni_views import VIEWS, decode_embeddings
from sfqa.features.view_columns import decode_bytes
from sfqa.features.weights import Weights

OPTIONS = {"size": "tiny", "scoring": "levels", "views": 1}
SONG = draw_song(0, 1.0, 16000).astype(np.float32) / 32768
VIDEO = VideoWithSound(draw_video(0, 4, 112, 168), SONG)


@cache
def build(precision: str) -> Any:
    options = {**OPTIONS, "precision": precision}
    return base.build_extractor("qwen_omni", options, Weights("random", "random:0"), "cpu")


def ask_language_model(thinker: Any, row: dict[str, Any], dimension: int) -> torch.Tensor:
    """The levels of a dimension, from the views and the language model alone."""
    views = {view.name: torch.from_numpy(row[view.name]) for view in VIEWS}
    embeddings, places = (
        decode_embeddings(views["embeddings"]),
        decode_bytes(views["places"], torch.int32),
    )
    assert embeddings.dtype == thinker.model.dtype
    assert (places[:, 0] == 1).all()
    ids = decode_bytes(views["questions"][dimension], torch.int32)
    ids = ids[ids >= 0]
    language: Any = thinker.model.model.language_model
    later = places[:, 1:].max() + 1 + torch.arange(len(ids))
    hidden = language(
        inputs_embeds=torch.cat([embeddings, language.embed_tokens(ids)])[None],
        position_ids=torch.cat([places[:, 1:].T, later.expand(3, -1)], dim=1)[:, None],
        attention_mask=torch.ones(1, len(embeddings) + len(ids)),
    ).last_hidden_state[:, -1]
    levels: torch.Tensor = thinker.model.lm_head(hidden)[0, thinker.level_ids].float()
    return levels


@pytest.mark.parametrize("video", [VIDEO, VideoWithSound(VIDEO.frames, None)])
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.thorough)])
@torch.inference_mode()
def test_the_levels_follow_from_the_views_bit_for_bit(
    precision: str, video: VideoWithSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = build(precision)
    (row,) = extractor.score([video])
    assert row["embeddings"].shape[1:] == (64, 4 if precision == "fp32" else 2)
    assert row["questions"].shape[::2] == (2, 4)
    for dimension in range(2):
        levels = ask_language_model(extractor.thinker, row, dimension)
        np.testing.assert_array_equal(levels.numpy(), row["levels"][dimension])
    assert not np.array_equal(*row["levels"])  # each dimension has a question of its own
    # A video without views has the same levels.
    monkeypatch.setattr(extractor, "views", 0)
    (plain,) = extractor.score([video])
    np.testing.assert_array_equal(plain.pop("levels"), row["levels"])
    assert plain.keys() == row.keys() - {view.name for view in VIEWS} - {"levels"}


def test_without_the_option_a_row_has_its_key_and_columns_of_before() -> None:
    without = base.select_keyed_options("qwen_omni", base.merge_options("qwen_omni", {}))
    assert "views" not in without
    columns = view_columns.select_columns(qwen_omni.Extractor.FEATURES, {"views": 0})
    assert not {view.name for view in VIEWS} & {column.name for column in columns}


def test_views_need_the_questions_for_levels() -> None:
    with pytest.raises(UserError, match="views: 1 does not go with scoring: answer"):
        base.check_option_needs(
            "qwen_omni", base.merge_options("qwen_omni", {"views": 1, "scoring": "answer"})
        )


def test_views_of_videos_of_different_lengths_are_one_table() -> None:
    extractor = build("fp32")
    longer = VideoWithSound(draw_video(0, 6, 112, 168), SONG)
    rows = [
        {"sample_id": name, "method": "m", "key": None, "status": "ok", **row}
        for name, row in zip("ab", extractor.score([VIDEO, longer]), strict=True)
    ]
    table = base.build_table(qwen_omni.Extractor.FEATURES, rows)
    for name in ("embeddings", "places", "questions"):
        cells = [base.read_tensor(table.column(name), table.schema.field(name), n) for n in (0, 1)]
        for cell, row in zip(cells, rows, strict=True):
            np.testing.assert_array_equal(cell, row[name])
    assert len(rows[1]["embeddings"]) > len(rows[0]["embeddings"])
