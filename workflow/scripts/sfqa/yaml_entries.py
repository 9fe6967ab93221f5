"""Read a registry: a YAML file with one entry for each name."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sfqa.errors import UserError
from sfqa.untrusted.documents import read_yaml
from sfqa.yaml_names import check_keys


def read_entries(path: Path | str, noun: str) -> dict[str, Any]:
    """Return the entries of a YAML file by name, in the file's order.

    ``noun`` is what the entries are called in messages, in the plural. Raises :class:`UserError`
    for a file that is missing or not YAML, and for a name or key that occurs twice.
    """
    try:
        content = read_yaml(path, loader_class=_Loader)
    except OSError as error:
        raise UserError(
            f"{path}: the {noun} file cannot be read ({error.strerror}); give the right path"
        ) from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: no {noun} in it; write one entry for each label")
    check_keys(content, str(path))
    return content


# Every plan reads the registries: libyaml, which PyYAML's wheels have, takes a tenth of the time.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """A safe loader that raises for a key that occurs twice; YAML would use the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = set()
        for key, _ in node.value:
            name = getattr(key, "value", None)
            if isinstance(name, str) and name in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is there twice", key.start_mark
                )
            keys.add(name if isinstance(name, str) else id(key))
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping
