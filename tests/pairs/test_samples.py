"""The samples of a dataset that is built, with the prompts of an earlier table of pairs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sfqa.pairs.samples import build_samples, read_prompts

LABELS = {"image_source": "ai", "image_category": "c", "style": "s", "language": "en"}


def test_videos_have_the_prompt_of_their_pair(tmp_path: Path) -> None:
    kept = tmp_path / "pairs.csv"
    kept.write_text('image_id,clip_id,split,prompt\na,x,train,"A man, singing"\nb,x,val,\n')
    prompts = read_prompts(kept)
    assert prompts == {("a", "x"): "A man, singing"}
    pairs = pd.DataFrame(
        [
            {"pair_id": f"{image}__x", "image_id": image, "clip_id": "x", "split": "train"} | LABELS
            for image in "ab"
        ]
    )
    files = {"path": ["p", "q"], "sha256": ["1", "2"]}
    images = pd.DataFrame({"image_id": ["a", "b"], **files})
    clips = pd.DataFrame({"clip_id": ["x", "y"], **files})
    rows = build_samples(pairs, images, clips, ["sharp", "late"], 1, prompts)
    assert [row["prompt"] for row in rows] == ["A man, singing"] * 2 + [None] * 2
    assert {row["prompt"] for row in build_samples(pairs, images, clips, ["sharp"], 1)} == {None}


def test_a_table_without_prompts_or_a_missing_file_has_none(tmp_path: Path) -> None:
    kept = tmp_path / "pairs.csv"
    kept.write_text("image_id,clip_id,split\na,x,train\n")
    assert read_prompts(kept) == read_prompts(tmp_path / "none.csv") == {}
