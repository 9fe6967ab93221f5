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

    def check_trial_lists(self) -> None:
        """Compare published trials with the imported samples, so that no job starts in vain."""
        protocols = self._list_protocols_with_lists()
        if not protocols:
            return
        import pandas as pd

        from sfqa.splits.protocols import make_splits
        from sfqa.splits.trial_lists import read_trial_lists

        source = dict(self.config.get("import", {}))
        samples: list[dict[str, Any]] = []
        if self.mode == "import_videos":
            from sfqa.generation.importing import list_videos

            samples = list_videos(source, self.config["shards"])
        elif self.mode == "import_features":
            from sfqa.features.importing import import_table

            samples = import_table(source, self.config["shards"]).samples
        for protocol in protocols:
            if samples:
                make_splits(pd.DataFrame(samples), protocol, self.config["seed"])
            else:
                read_trial_lists(protocol["lists"], _name_protocol(protocol))


def _name_protocol(protocol: Mapping[str, Any]) -> str:
    return f"config, regression.protocols {protocol['name']!r}"
