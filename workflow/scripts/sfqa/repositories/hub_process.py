"""Download files of a Hugging Face repository: the process that :mod:`.hub` starts.

``python -P hub_process.py PARENT REPOSITORY COMMIT FOLDER FILE...`` puts the files into the folder
and skips those that an earlier call completed. It is a process of its own so that it can be ended
at once: ``snapshot_download`` downloads in threads, and when it is interrupted it first waits for
the files that are being downloaded, which takes hours for large weights. After an error the exit
code is 1, and the last line is ``ERROR`` with the class of the error and its message.
"""

from __future__ import annotations

import glob
import os
import sys
import threading
import time

_POLL_SEC = 1.0


def main(parent: int, repository: str, commit: str, folder: str, *files: str) -> int:
    """Download the files; returns the exit code."""
    threading.Thread(target=_follow_parent_death, args=(parent,), daemon=True).start()
    from huggingface_hub import snapshot_download
    from tqdm import tqdm

    class ProgressLine(tqdm):
        """Prints the bytes written so far as a line of its own, as a log needs it."""

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            # The library has two more bars: bytes received, and files completed.
            if self.unit == "B" and self.total and not self.desc.startswith("Downloading"):
                rate = (self.format_dict["rate"] or 0) / 1e6
                gigabytes = f"{self.n / 1e9:.2f} of {self.total / 1e9:.2f} GB"
                print(f"{gigabytes}, {rate:.1f} MB/s", flush=True)

    try:
        snapshot_download(
            repository,
            revision=commit,
            local_dir=folder,
            allow_patterns=[glob.escape(name) for name in files],
            tqdm_class=ProgressLine,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
        )
    except Exception as error:
        # The classes differ between versions of the library and of its HTTP client.
        print(f"ERROR {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        return 1
    return 0


def _follow_parent_death(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SEC)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
