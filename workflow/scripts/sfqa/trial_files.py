"""The files with published trials that a configuration names: part of the plan of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TrialFiles:
    """The lists of the protocols of kind listed_trials of a configuration."""

    config: dict[str, Any]
    mode: str

    def trial_list_files(self) -> list[str]:
        """Return the files with published trials; raises :class:`UserError` for a missing one."""
        protocols = self._list_protocols_with_lists()
        if not protocols:
            return []
        from sfqa.splits.trial_lists import list_trial_files

        paths = [
            str(path)
            for protocol in protocols
            for _, _, path in list_trial_files(protocol["lists"], _name_protocol(protocol))
        ]
        return list(dict.fromkeys(paths))  # a file without {trial} belongs to every trial

    def _list_protocols_with_lists(self) -> list[dict[str, Any]]:
        return [p for p in self.config["regression"]["protocols"] if "lists" in p]


def _name_protocol(protocol: Mapping[str, Any]) -> str:
    return f"config, regression.protocols {protocol['name']!r}"
