"""Build the documentation as a site: collect the pages and the files that they link to, run mkdocs.

    python .ci/build_docs.py [FOLDER]        by default build/site

Pages keep their places (README.md, docs/, config/), so that the links between them are valid on the
site as they are in the project. Every warning of mkdocs, such as a link to a page or heading that
does not exist, is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Where pages are; those of other folders are no part of the site.
PAGES = ("*.md", "docs/*.md", "config/*.md", "config/prompts/*.md", "benchmarks/*.md")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def list_linked_files(page: Path) -> list[Path]:
    """Return the files of the project, other than pages, that a page links to."""
    files = []
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        path = Path(os.path.normpath(page.parent / target))
        if "://" not in target and path.is_file() and path.is_relative_to(ROOT):
            files.append(path)
    return files


def collect_pages(folder: Path) -> None:
    """Copy all pages, and the files that they link to, into a folder."""
    pages = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    files = pages | {path for page in pages for path in list_linked_files(page)}
    for path in files:
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def main() -> int:
    """Build the site; return the exit status of mkdocs."""
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").resolve()
    with tempfile.TemporaryDirectory() as folder:
        collect_pages(Path(folder))
        environment = {**os.environ, "SFQA_DOCS": folder, "SFQA_SITE": str(site)}
        environment["NO_MKDOCS_2_WARNING"] = "1"
        command = [
            "mkdocs",
            "build",
            "--strict",
            "--config-file",
            str(ROOT / "mkdocs.yml"),
        ]
        status = subprocess.run(command, env=environment, check=False).returncode
    if status == 0:
        print(f"documentation: {site / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
