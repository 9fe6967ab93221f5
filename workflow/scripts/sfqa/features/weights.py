"""Load the weights of an extractor: an official or other file with its sha256, or random ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint, is_out_of_memory
from sfqa.features.extractors import EXTRACTORS
from sfqa.identity import sha256_file
from sfqa.models.locating import require_weights
from sfqa.models.weights_files import KeyRules, from_dict
from sfqa.repositories.fetch import digest_installation
from sfqa.shown_text import quote_value, show_controls

if TYPE_CHECKING:
    import torch

RANDOM, NONE, OFFICIAL = "random", "none", "official"
#: Keys of a state dict inside a file that no entry of config/weights.yaml describes.
_WRAPPERS = ("state_dict", "model_state", "model", "params")


#: Turns the state dict of a file in another layout into that of a network.
ConvertState = Callable[[dict[str, Any], "torch.nn.Module"], Mapping[str, Any]]


@dataclass(frozen=True)
class Program:
    """The installed program of a quality model of kind ``command``.

    ``home`` is its folder, ``weights`` that of its weights in the repository, ``minutes`` the time
    limit of one video, ``work`` the folder for private workspaces and logs, ``pass_environment``
    the names of further variables of ours that it gets.
    """

    model: str
    home: Path
    weights: str
    minutes: float
    work: Path = Path("work")
    pass_environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """The source of a network's weights.

    ``kind`` is official (a file is given), random (set in the configuration) or none (the extractor
    has no weights). ``identity`` is part of the cache key; it includes the parts. ``keys`` says how
    the keys of the file map; None: a state dict, bare or in one of the usual wrappers. ``parts``
    are the weights of the extractor's other networks, by name. ``program`` is the installed
    repository that has the weights, for a model of kind ``command``.
    """

    kind: str
    identity: str
    path: Path | None = None
    seed: int = 0
    keys: KeyRules | None = None
    parts: Mapping[str, Weights] = field(default_factory=dict)
    program: Program | None = None

    def get_part(self, name: str) -> Weights:
        """Return the weights of another network; random ones are drawn from the same seed."""
        return self if self.kind == RANDOM else self.parts[name]

    def load(
        self,
        build: Callable[[], torch.nn.Module],
        ignore: Sequence[str] = (),
        convert: ConvertState | None = None,
    ) -> torch.nn.Module:
        """Build the network with these weights, in evaluation mode.

        Every key of the network must be in the file, in its shape, and every key of the file in
        the network, except those that match a pattern of ``ignore``, such as buffers that only some
        versions of a library store. ``convert`` turns the state dict of a file in another layout
        into the network's. Raises :class:`UserError` with the counts of all other keys.
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
            state = _drop_keys(read_state(self.path, self.keys), ignore)
            if convert is not None:
                state = _convert_state(state, module, convert)
            load_all_keys(module, state, self.path)
        return module.eval().requires_grad_(False)


def _convert_state(
    state: dict[str, Any], module: torch.nn.Module, convert: ConvertState
) -> dict[str, Any]:
    """Return the converted state dict; as it is, so that loading counts its keys, if that fails."""
    try:
        return dict(convert(state, module))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        return state


def load_all_keys(module: torch.nn.Module, state: Mapping[str, Any], path: Path) -> None:
    """Load a state dict in which every key matches; raises :class:`UserError` if one does not.

    Counters of batch normalisation (``num_batches_tracked``) may be missing, since files of early
    versions of PyTorch have none and evaluation does not read them.
    """
    import torch

    network = module.state_dict()
    missing = [k for k in network if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in network]
    shapes = {key: tuple(getattr(state[key], "shape", ())) for key in network if key in state}
    misshapen = [
        f"{key} {shape}, not {tuple(network[key].shape)}"
        for key, shape in shapes.items()
        if shape != tuple(network[key].shape)
    ] + [
        f"{key}, a {type(state[key]).__name__} and not a tensor"
        for key, shape in shapes.items()
        if shape == tuple(network[key].shape) and not isinstance(state[key], torch.Tensor)
    ]
    if not (missing or unexpected or misshapen):
        module.load_state_dict(dict(state))
        return
    matched = len(shapes) - len(misshapen)
    counts = [
        f"{len(keys)} {word} ({_list_keys(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for word, keys in (
            ("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen)
        )
        if keys
    ]  # fmt: skip
    raise UserError(
        f"{path}: these weights do not fit {type(module).__name__}: {matched} of {len(network)} "
        f"keys match, {', '.join(counts)}; give the file that belongs to it, or correct 'keys' "
        "(wrapper, prefix, ignore) of its entry in config/weights.yaml"
    )


def read_state(path: Path, keys: KeyRules | None = None) -> dict[str, Any]:
    """Load the state dict of a file without executing any code in it.

    The file is mapped where its format allows it, so that its weights are not in memory twice.
    ``keys`` says where it is in the file and which prefix its keys have; None: it may be wrapped
    as ``state_dict``, ``model_state``, ``model`` or ``params``, with the prefix ``module.``. Raises
    :class:`UserError` for a file that cannot be read and for a missing wrapper.
    """
    from sfqa.untrusted.tensors import describe_load_error, load_tensors

    try:
        stored = load_tensors(path)
    except Exception as error:
        raise UserError(
            f"{path}: cannot be read as weights ({describe_load_error(error)}); "
            "give a state dict saved by torch.save or safetensors"
        ) from error
    if keys is None:
        for wrapper in _WRAPPERS:
            if isinstance(stored, dict) and isinstance(stored.get(wrapper), dict):
                stored = stored[wrapper]
    elif keys.wrapper:
        if not isinstance(stored, dict) or not isinstance(stored.get(keys.wrapper), dict):
            names = list(stored)[:5] if isinstance(stored, dict) else [type(stored).__name__]
            raise UserError(
                f"{path}: there is no state dict {keys.wrapper!r} in it (it has "
                f"{_list_keys(names)}); correct keys.wrapper in config/weights.yaml"
            )
        stored = stored[keys.wrapper]
    if not isinstance(stored, dict):
        raise UserError(f"{path}: holds a {type(stored).__name__} and not a state dict")
    unnamed = [key for key in stored if not isinstance(key, str)]
    if unnamed:
        raise UserError(
            f"{path}: the key {quote_value(unnamed[0])} is not the name of a tensor; give a state "
            "dict saved by torch.save or safetensors"
        )
    prefix = "module." if keys is None else keys.prefix
    state = {key.removeprefix(prefix): value for key, value in stored.items()}
    if len(state) < len(stored):
        raise UserError(
            f"{path}: {len(stored) - len(state)} of {len(stored)} keys are there with and without "
            f"the prefix {prefix!r}, so that it holds two networks; give a file of one"
        )
    state = _drop_keys(state, keys.ignore if keys is not None else ())
    if keys is not None and keys.layout:
        from sfqa.features.clip_keys import rename_transformers_clip

        return rename_transformers_clip(state)
    return state


def _list_keys(keys: Sequence[object]) -> str:
    """Return names from a file for a message, each shortened."""
    return ", ".join(show_controls(str(key)[:150], keep="") for key in keys)


def _drop_keys(state: Mapping[str, Any], patterns: Sequence[str]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if not any(fnmatchcase(k, p) for p in patterns)}


def list_weights_parts(extractor: str, options: Mapping[str, Any]) -> list[str]:
    """Return the networks of an extractor that have a weights file beside the main one.

    The constant WEIGHTS_PARTS of its file names each with the options that need it.

    >>> list_weights_parts("lse", {"detector": "s3fd"}), list_weights_parts("lse", {})
    (['detector'], [])
    """
    declared: Mapping[str, Mapping[str, Any]] = EXTRACTORS.read(extractor, "WEIGHTS_PARTS", {})
    merged = EXTRACTORS.merge_options(extractor, options, f"config, features.{extractor}.options")
    return [part for part, needs in declared.items() if needs.items() <= merged.items()]


def list_official_parts(extractor: str, spec: Mapping[str, Any]) -> list[str]:
    """Return the networks of ``features.<extractor>`` with official weights; '' is the main one.

    Other networks have official weights unless ``parts`` names a file, or the weights are random.

    >>> list_official_parts("lse", {"weights": "official", "options": {"detector": "s3fd"}})
    ['', 'detector']
    """
    if spec["weights"] in (RANDOM, NONE):
        return []
    parts = spec.get("parts") or {}
    return [
        *([""] if spec["weights"] == OFFICIAL else []),
        *(
            part
            for part in list_weights_parts(extractor, spec.get("options") or {})
            if parts.get(part, {}).get("weights", OFFICIAL) == OFFICIAL
        ),
    ]


def check_parts(extractor: str, spec: Mapping[str, Any]) -> None:
    """Check ``parts`` of ``features.<extractor>`` without reading any file.

    Raises :class:`UserError` for an unknown part, for one that the options do not need, for random
    weights, and for a file without its sha256.
    """
    where = f"config, features.{extractor}.parts"
    declared: Mapping[str, Mapping[str, Any]] = EXTRACTORS.read(extractor, "WEIGHTS_PARTS", {})
    for part, part_spec in (spec.get("parts") or {}).items():
        if part not in declared:
            raise UserError(f"{where}: {extractor} has no part {part!r}; {hint(part, declared)}")
        if part not in list_weights_parts(extractor, spec.get("options") or {}):
            needs = ", ".join(f"{key}: {value}" for key, value in declared[part].items())
            raise UserError(f"{where}.{part}: goes with the option {needs}; leave it out")
        if RANDOM in (spec["weights"], part_spec["weights"]):
            raise UserError(
                f"{where}.{part}: random weights are random for all networks; leave it out, or "
                "give official weights or a file for each"
            )
        if (part_spec["weights"] == OFFICIAL) == ("sha256" in part_spec):
            raise UserError(
                f"{where}.{part}.sha256: it goes with the path of a file; give both, or 'official' "
                "alone"
            )


def resolve_weights(spec: Mapping[str, Any], extractor: str) -> Weights:
    """Return the weights that ``features.<extractor>`` of the configuration specifies.

    ``weights: random`` (with ``weights_seed``), ``weights: none``, a path with its ``sha256``, or
    ``weights: official`` with what :func:`sfqa.features.official.add_official_files` adds; the same
    for each of ``parts``. Raises :class:`UserError` if a file is missing or has another sha256.

    >>> resolve_weights({"weights": "random"}, "slowfast").kind
    'random'
    """
    where = f"config, features.{extractor}"
    if "command" in spec:
        return _resolve_program(spec, where)
    weights = _resolve_network(spec, where)
    if weights.kind != OFFICIAL:
        return weights
    part_specs = spec.get("parts") or {}
    parts = {
        part: _resolve_network(part_specs.get(part, {}), f"{where}.parts.{part}")
        for part in list_weights_parts(extractor, spec.get("options") or {})
    }
    identity = " ".join([weights.identity, *(f"{n}:{part.identity}" for n, part in parts.items())])
    return replace(weights, identity=identity, parts=parts)


def _resolve_program(spec: Mapping[str, Any], where: str) -> Weights:
    """Return the weights of an installed program; their identity is that of all its files.

    With ``weights: random`` the user says that the weights in the repository are untrained.
    """
    settings = spec["command"]
    program = Program(
        settings["model"], Path(settings["home"]), settings["weights"], float(settings["minutes"]),
        pass_environment=tuple(settings.get("pass_environment", ())),
    )  # fmt: skip
    installed = digest_installation(program.home)
    if not installed:
        raise UserError(
            f"{where}: the repository of {program.model} is not installed in {program.home}; run "
            "snakemake fetch_models (docs/adding_a_model.md)"
        )
    if spec["weights"] == RANDOM:
        return Weights(RANDOM, f"random:{installed}", program=program)
    return Weights(OFFICIAL, installed, program=program)


def _resolve_network(spec: Mapping[str, Any], where: str) -> Weights:
    weights = spec.get("weights")
    if weights == RANDOM:
        seed = int(spec.get("weights_seed", 0))
        return Weights(RANDOM, f"random:{seed}", seed=seed)
    if weights == NONE:
        return Weights(NONE, NONE)
    if not weights:
        raise UserError(f"{where}.weights: give a file, or say 'random' to run untrained")
    if weights == OFFICIAL:
        entry = from_dict(spec["official"]["entry"])
        folder, sha256 = Path(spec["official"]["folder"]), str(spec.get("sha256") or "")
        file, digest = require_weights(entry, folder, sha256, where, spec["official"]["mirrors"])
        return Weights(OFFICIAL, digest, file, keys=entry.keys)
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
    return Weights(OFFICIAL, file_digest, path)
