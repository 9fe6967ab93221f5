"""Where the ratings of a configuration come from: part of the plan of a run."""

from __future__ import annotations

from typing import Any

from sfqa import tables


class RatingFiles:
    """The files of the section ``ratings`` of a configuration."""

    config: dict[str, Any]
    dataset: str

    def study_folder(self) -> str:
        """Return the folder of the rating study."""
        return self.config["ratings"].get("path") or f"results/{self.dataset}/ratings/study"

    def ratings_file(self) -> str:
        """Return the table of raw scores to import."""
        if self.config["ratings"]["source"] == "study":
            return f"{self.study_folder()}/{tables.SCORES.file_name}"
        return str(self.config["ratings"]["path"])

    def rater_inputs(self, wildcards: Any) -> dict[str, str]:
        """Return the optional inputs of the rater report.

        ``details``: what the rating screen measured; ``answers``: expected answers of checks.
        """
        files = {}
        if self.config["ratings"]["source"] == "study":
            files["details"] = f"{self.study_folder()}/{tables.SCORE_DETAILS.file_name}"
        if "answers" in self.config["ratings"]:
            files["answers"] = self.config["ratings"]["answers"]
        return files

    def tags_file(self) -> list[str]:
        """Return the table of further labels, in a list that is empty if there is none."""
        return [t] if (t := self.config["ratings"].get("tags")) else []
