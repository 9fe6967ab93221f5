"""Weights of an extractor: a file whose sha256 is checked, or random ones that say so."""

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
    """Where a model's weights come from.

    ``kind`` is official (a file was given), random (the configuration says so) or none (the
    extractor has no weights); ``identity`` goes into the cache key.
    """

    kind: str
    identity: str
    path: Path | None = None
    seed: int = 0

    def load(self, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
        """Return the built module with these weights, in evaluation mode.

        A file may hold the state dict itself or under ``state_dict``, ``model_state`` or
        ``model``. Raises :class:`UserError` where it does not fit the architecture.
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
    """Return the state dict in a file, unwrapped, loaded without running any code of it."""
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


def resolve(spec: Mapping[str, Any], extractor: str) -> Weights:
    """Return the weights that ``features.<extractor>`` of the configuration asks for.

    ``weights: random`` (with ``weights_seed``), ``weights: none``, or a path with its ``sha256``.
    Raises :class:`UserError` for a file that is missing or another one than declared.

    >>> resolve({"weights": "random"}, "slowfast").kind
    'random'
    """
    where = f"config, features.{extractor}"
    given = spec.get("weights")
    if given == RANDOM:
        seed = int(spec.get("weights_seed", 0))
        return Weights(RANDOM, f"random:{seed}", seed=seed)
    if given == NONE:
        return Weights(NONE, NONE)
    if not given:
        raise UserError(f"{where}.weights: give a file, or say 'random' to run untrained")
    path = Path(str(given))
    if not path.is_file():
        raise UserError(
            f"{where}.weights: there is no file {path}; put it there, "
            "or say 'random' to run untrained"
        )
    found, wanted = sha256_file(path), str(spec.get("sha256") or "")
    if found != wanted:
        raise UserError(
            f"{where}: {path} has the sha256 {found}, not {wanted or '(none given)'}; "
            "put the right file there or correct the sha256"
        )
    return Weights("official", found, path)
