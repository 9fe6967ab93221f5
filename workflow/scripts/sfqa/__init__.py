"""Build and benchmark quality datasets of AI-generated singing and talking faces.

The functions of :mod:`sfqa.api` are attributes of the package; they are imported when they are
first used, so that ``import sfqa`` is quick.

>>> import sfqa
>>> sfqa.mos.__module__
'sfqa.api'
"""

from typing import Any

__version__ = "0.1.0"

#: The functions of the Python API: docs/python_api.md.
_API = ("Model", "correlate", "extract", "list_extractors", "load_model", "mos")
__all__ = ["__version__", *_API]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module 'sfqa' has no attribute {name!r}; it has {', '.join(_API)}")
    from importlib import import_module  # not an import statement: api.py imports this file

    return getattr(import_module("sfqa.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
