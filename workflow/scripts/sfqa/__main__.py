"""``python -m sfqa``: the command line."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (an older Python says so instead of a SyntaxError)
    sys.exit("sfqa: Python 3.11 or newer is needed; run ./run.sh setup, which makes .venv")

from sfqa.cli import main

if __name__ == "__main__":
    sys.exit(main())
