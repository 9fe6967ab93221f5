"""Create an example submission with random scores, as a template for participants."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from sfqa import identity


def make_example_zip(names: Sequence[str], seed: int = 0) -> bytes:
    """Return a valid submission with random scores as the bytes of a zip file, always the same.

    >>> zipfile.ZipFile(io.BytesIO(make_example_zip(["a.mp4"]))).namelist()
    ['output.txt', 'readme.txt']
    """
    draw = identity.random_generator("example submission", seed)
    output = "".join(f"{_quote_csv(name)},{draw.uniform(1, 5):.4f}\n" for name in names)
    readme = (
        "runtime per video [s] : 1.00\nCPU[1] / GPU[0] : 1\n"
        "Extra Data [1] / No Extra Data [0] : 0\nLLM [1] / No LLM [0] : 0\n"
        "Other description : random scores, to try the scorer\n"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("output.txt", output), ("readme.txt", readme)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode())
    return packed.getvalue()


def _quote_csv(name: str) -> str:
    if not set(name) & set('",'):
        return name
    return '"' + name.replace('"', '""') + '"'
