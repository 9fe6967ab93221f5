"""Load the weights of an extractor: a file with a verified sha256, or random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError
from sfqa.identity import sha256_file

if TYPE_CHECKING:
    import torch

RANDOM, NONE = "random", "none"


@dataclass(frozen=True)
class Weights:
    """The source of a network's weights.

    ``kind`` is official (a file is given), random (set in the configuration) or none (the extractor
    has no weights). ``identity`` is part of the cache key.
    """

    kind: str
    identity: str
    path: Path | None = None
    seed: int = 0

    def load(self, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
        """Build the network with these weights, in evaluation mode.

        A file may hold the state dict itself or under ``state_dict``, ``model_state`` or ``model``.
        Raises :class:`UserError` if it does not fit the architecture.
        """
        import torch

        if self.kind == NONE:
            raise UserError(
                "config, features: 'weights: none' is for extractors without weights; this one has "
                "some: give their file, or say 'random' to run untrained"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = build()
        if self.path is not None:
            state = read_state(self.path)
            try:
                module.load_state_dict(state)
            except RuntimeError as error:
                first = str(error).splitlines()[1:2]
                raise UserError(
                    f"{self.path}: these weights do not fit {type(module).__name__} "
                    f"({' '.join(first).strip()[:200]}); give the file that belongs to it"
                ) from error
        return module.eval().requires_grad_(False)


def read_state(path: Path) -> dict[str, Any]:
    """Load the state dict of a file without executing any code in it."""
    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: cannot be read as weights ({str(error).splitlines()[0][:150]}); "
            "give a state dict saved by torch.save"
        ) from error
    for wrapper in ("state_dict", "model_state", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(wrapper), dict):
            stored = stored[wrapper]
    return {k.removeprefix("module."): v for k, v in stored.items()}


def resolve_weights(spec: Mapping[str, Any], extractor: str) -> Weights:
    """Return the weights that ``features.<extractor>`` of the configuration specifies.

    ``weights: random`` (with ``weights_seed``), ``weights: none``, or a path with its ``sha256``.
    Raises :class:`UserError` if the file is missing or has another sha256.

    >>> resolve_weights({"weights": "random"}, "slowfast").kind
    'random'
    """
    where = f"config, features.{extractor}"
    weights = spec.get("weights")
    if weights == RANDOM:
        seed = int(spec.get("weights_seed", 0))
        return Weights(RANDOM, f"random:{seed}", seed=seed)
    if weights == NONE:
        return Weights(NONE, NONE)
    if not weights:
        raise UserError(f"{where}.weights: give a file, or say 'random' to run untrained")
    path = Path(str(weights))
    if not path.is_file():
        raise UserError(
            f"{where}.weights: there is no file {path}; put it there, "
            "or say 'random' to run untrained"
        )
    file_digest, expected_digest = sha256_file(path), str(spec.get("sha256") or "")
    if file_digest != expected_digest:
        raise UserError(
            f"{where}: {path} has the sha256 {file_digest}, not "
            f"{expected_digest or '(none given)'}; "
            "put the right file there or correct the sha256"
        )
    return Weights("official", file_digest, path)
