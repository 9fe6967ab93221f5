"""Have Snakemake notice an edited script by its content, not by the time of the file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

from sfqa.identity import sha256_file


def compare_scripts_by_content() -> None:
    """Replace the functions of Snakemake that decide whether the code of a job has changed.

    Snakemake runs a job again if its script is newer than its output. In a fresh clone of the
    project every script is new, so that a copied results folder would be computed again from its
    first job. Here the sha256 of the script is recorded with each output, as the text of a shell
    command is, and compared with that of the present script. Outputs that were recorded without
    it count as up to date.
    """
    from snakemake.jobs import Job
    from snakemake.persistence import PersistenceBase

    # All are private to Snakemake: without them, it compares times as before.
    needed = (
        (Job, "outputs_older_than_script_or_notebook"),
        (PersistenceBase, "_code"),
        (PersistenceBase, "_code_changed"),
    )
    if getattr(PersistenceBase, "_compares_scripts", False) or not all(
        hasattr(owner, name) for owner, name in needed
    ):
        return
    read_command, has_changed = PersistenceBase._code, PersistenceBase._code_changed

    def read_code(persistence: Any, rule: Any) -> str | None:
        command, script = read_command(persistence, rule), hash_script(rule)
        return f"{command or ''}{script}" if script else command

    def compare_code(persistence: Any, job: Any, file: Any = None) -> bool:
        is_recorded_without_script = persistence.code(file) == read_command(persistence, job.rule)
        return not is_recorded_without_script and bool(has_changed(persistence, job, file))

    async def list_no_outputs(job: Any) -> AsyncIterator[str]:
        outputs: tuple[str, ...] = ()
        for output in outputs:
            yield output

    PersistenceBase._code = read_code
    PersistenceBase._code_changed = compare_code
    PersistenceBase._compares_scripts = True
    Job.outputs_older_than_script_or_notebook = list_no_outputs


@cache
def hash_script(rule: Any) -> str | None:
    """Return the sha256 of a rule's script, None without a script in a local file."""
    script = rule.script or rule.notebook
    if not script or not rule.basedir:
        return None
    path = Path(str(rule.basedir.join(str(script)).get_path_or_uri(secret_free=True)))
    return f"sha256 of the script: {sha256_file(path)}" if path.is_file() else None
