"""The names of what samples are grouped by. Planning a workflow reads them without pandas."""

from __future__ import annotations

#: Column of tables.SAMPLES by name of the grouping. A dataset may have further ones: its keys.
GROUPS = {
    "image": "image_id",
    "clip": "clip_id",
    "prompt": "prompt",
    "method": "method",
    "image_source": "image_source",
    "image_category": "image_category",
    "style": "style",
    "language": "language",
    "video": "source_path",
}
#: What samples are made from, and what no split may share by default: also a video that is in
#: several samples.
CONTENTS = ("image", "clip", "prompt", "video")


def may_be_empty(group: str) -> bool:
    """Return whether samples may lack the value of a group: prompts, shared videos and keys."""
    return group in ("prompt", "video") or group not in GROUPS


def add_article(noun: str) -> str:
    """Return a noun with its indefinite article.

    >>> add_article("image"), add_article("clip")
    ('an image', 'a clip')
    """
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"
