"""Convert SoundNet's ``sound8.npy`` to a file without code, which is what the workflow loads.

    python -m sfqa.features.convert_soundnet sound8.npy resources/weights/sound8.safetensors

The published file is a pickle, and loading a pickle can run code. It is read here by a reader that
knows NumPy's arrays, dictionaries, texts and numbers, and refuses everything else.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from sfqa.errors import UserError

#: What a pickled array is made of, by module and name; modules of NumPy 1 and 2.
_ALLOWED = {
    (f"numpy.{core}.multiarray", "_reconstruct"): "numpy._core.multiarray"
    for core in ("core", "_core")
} | {
    ("numpy", "ndarray"): "numpy",
    ("numpy", "dtype"): "numpy",
    ("_codecs", "encode"): "_codecs",
}  # fmt: skip


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays in dictionaries; any other class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the allowed functions and classes."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")
        return super().find_class(_ALLOWED[module, name], name)


def read_pickled_array(path: Path) -> Any:
    """Return the object inside an ``.npy`` file of one pickled object, such as ``sound8.npy``.

    Raises :class:`UserError` for another file, and for one that holds anything but arrays.
    """
    try:
        with open(path, "rb") as file:
            _read_header(file)
            stored = _ArrayUnpickler(file, encoding="latin1").load()
        return stored.item()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:
        raise UserError(
            f"{path}: is not SoundNet's sound8.npy ({error}); get the published file"
        ) from error


def _read_header(file: IO[bytes]) -> None:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = read[version](file)
    if shape != () or not dtype.hasobject:
        raise ValueError(f"an array of shape {shape} and type {dtype}, not one object")


def convert_file(source: Path, target: Path) -> None:
    """Write ``sound8.npy`` as a state dict of SoundNet in safetensors' format.

    Raises :class:`UserError` for a file that is not SoundNet's.
    """
    from safetensors.numpy import save_file

    from sfqa import store
    from sfqa.features.soundnet_net import convert_layers

    layers = read_pickled_array(source)
    try:
        state = convert_layers(layers)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{source}: is not SoundNet's sound8.npy ({error}); get the published file"
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with store.replacing(target) as temporary:
        save_file(state, temporary)


def main(arguments: Sequence[str]) -> int:
    """Convert the file of the first argument to that of the second; returns the exit status."""
    if len(arguments) != 2:
        print("usage: python -m sfqa.features.convert_soundnet sound8.npy OUT.safetensors")
        return 2
    try:
        convert_file(Path(arguments[0]), Path(arguments[1]))
    except UserError as error:
        print(f"sfqa: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
