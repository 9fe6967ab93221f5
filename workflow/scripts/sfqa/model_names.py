"""The names of the models of timm and open_clip, read from their files.

Planning checks them in every job, and importing these libraries takes seconds.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

TIMM, OPEN_CLIP = "timm", "open_clip"
_REGISTERED = re.compile(r"^@register_model\s*\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_TAGGED = re.compile(r"""["']([a-z]\w*\.\w+)["']\s*:""")


def list_models(library: str) -> frozenset[str]:
    """Return the names of a library's architectures; none if it is not installed.

    Those of timm have no tags.

    >>> "convnext_tiny" in list_models("timm"), "ViT-B-16-SigLIP" in list_models("open_clip")
    (True, True)
    """
    return _read_timm_names()[0] if library == TIMM else _list_open_clip_models()


def has_model(library: str, name: str) -> bool:
    """Return whether a library has a model of this name; one of timm may have a tag.

    If the library is not installed, every name is accepted; the job that builds the model checks
    it.

    >>> has_model("timm", "convnext_tiny.fb_in1k"), has_model("timm", "convnext_tini")
    (True, False)
    """
    architectures = list_models(library)
    if not architectures:
        return True
    architecture, _, tag = name.partition(".") if library == TIMM else (name, "", "")
    if architecture not in architectures:
        return False
    if not tag or name in _read_timm_names()[1]:
        return True
    import timm  # some tags are not written out in the source

    return name in timm.list_pretrained(f"{architecture}.*")


@cache
def _read_timm_names() -> tuple[frozenset[str], frozenset[str]]:
    """Return the architectures, and the names with tags that are written out in the source."""
    folder = _find_folder(TIMM)
    if folder is None:
        return frozenset(), frozenset()
    texts = [path.read_text(encoding="utf-8") for path in (folder / "models").glob("*.py")]
    return (
        frozenset(name for text in texts for name in _REGISTERED.findall(text)),
        frozenset(name for text in texts for name in _TAGGED.findall(text)),
    )


def _list_open_clip_models() -> frozenset[str]:
    if OPEN_CLIP in sys.modules:  # it also knows models that were added while it runs
        import open_clip

        return frozenset(open_clip.list_models())
    folder = _find_folder(OPEN_CLIP)
    paths = (folder / "model_configs").glob("*.json") if folder else ()
    return frozenset(path.stem for path in paths)


def _find_folder(library: str) -> Path | None:
    spec = find_spec(library)
    return Path(spec.origin).parent if spec is not None and spec.origin else None
