"""Picture quality metrics of pyiqa, built without its downloads and loaded from a local file.

pyiqa (IQA-PyTorch) fetches weights of the metric, of its backbone and of a face detector while it
builds a metric. Here its constructors run with these downloads replaced; the weights are then
loaded from one file, in which every key must match, or stay random.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from sfqa.errors import UserError
from sfqa.features.weights import Weights
from sfqa.untrusted.matlab import check_matlab
from sfqa.untrusted.tensors import describe_load_error, load_tensors

if TYPE_CHECKING:
    import torch

#: Width of the token that TOPIQ pools from a face.
TOKEN_WIDTH = 256
# Shapes of the parameters that two metrics of scene statistics read; None: any number.
_NIQE_SHAPES = {"mu_prisparam": (36,), "cov_prisparam": (36, 36)}
_BRISQUE_SHAPES = {"sv_coef": (None,), "sv": (None, 36)}
_RANDOM_VECTORS = 64
# OpenAI's CLIP ViT-B/32, the network of LIQE.
_VIT_B_32 = {
    "embed_dim": 512, "image_resolution": 224, "vision_layers": 12, "vision_width": 768,
    "vision_patch_size": 32, "context_length": 77, "vocab_size": 49408, "transformer_width": 512,
    "transformer_heads": 8, "transformer_layers": 12,
}  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """A metric of pyiqa: the module that holds it, and the pictures that it cannot score.

    ``module`` is the name in ``pyiqa.archs`` without ``_arch``. ``side`` is the least short side in
    pixels. ``blocks`` is the side of the squares of which a picture must hold two, 0: none.
    """

    module: str
    side: int = 32
    blocks: int = 0

    @property
    def has_token(self) -> bool:
        """Whether the metric pools its score from a token (TOPIQ)."""
        return self.module == "topiq"

    def find_obstacle(self, height: int, width: int) -> str:
        """Return why pictures of this size cannot be scored, '' if they can.

        >>> Metric("liqe", side=224).find_obstacle(200, 300)
        'the short side is 200 pixels, fewer than 224'
        """
        if min(height, width) < self.side:
            return f"the short side is {min(height, width)} pixels, fewer than {self.side}"
        if self.blocks and (height // self.blocks) * (width // self.blocks) < 2:
            return f"{width}x{height} pixels hold fewer than two blocks of {self.blocks}"
        return ""


#: The metrics by pyiqa's names.
METRICS = {
    "niqe": Metric("niqe", blocks=96),
    "brisque": Metric("brisque"),
    "musiq": Metric("musiq"),
    "hyperiqa": Metric("hypernet"),
    "tres": Metric("tres"),
    "unique": Metric("unique"),
    "liqe": Metric("liqe", side=224),
    "liqe_mix": Metric("liqe", side=224),
    "topiq_nr": Metric("topiq"),
    "topiq_nr-face": Metric("topiq"),
    "topiq_nr-face-v1": Metric("topiq"),
    "qalign": Metric("qalign"),
}


def load_metric(name: str, weights: Weights) -> torch.nn.Module:
    """Return a metric of pyiqa in evaluation mode, with these weights.

    Raises :class:`UserError` for a file that does not fit; every key must match.
    """
    if name in ("niqe", "brisque"):
        return _load_parameters(name, weights)
    if name == "qalign":
        from sfqa.features.qalign_net import load_qalign

        return load_qalign(weights, _replaced)
    net: Any = weights.load(partial(_build, name))
    if hasattr(net, "joint_texts"):
        import torch

        with torch.inference_mode():
            net.text_features = net.get_text_features(net.joint_texts)
    loaded: torch.nn.Module = net
    return loaded


def add_face_alignment(net: Any, weights: Weights, device: str) -> None:
    """Let a TOPIQ metric for faces find the central face and align it to 512x512 pixels first.

    ``weights`` are those of facexlib's RetinaFace. A picture without a face then raises
    ``AssertionError``. The metric keeps the face it works on, so only one thread may call it.
    """
    import torch
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.utils import face_restoration_helper as helper

    detector = weights.load(lambda: RetinaFace(device=torch.device(device))).to(device)
    with (
        _replaced(helper, "init_detection_model", lambda *_, **__: detector),
        _replaced(helper, "init_parsing_model", lambda *_, **__: None),
    ):
        # The parsing network puts a face back into its picture, which no metric does.
        net.face_helper = helper.FaceRestoreHelper(
            1, face_size=512, crop_ratio=(1, 1), device=torch.device(device)
        )
    net.align_crop_face = True


class TokenReader:
    """Calls a network of TOPIQ and returns its scores with the tokens that they are pooled from.

    Several threads may call it at the same time.
    """

    def __init__(self, net: Any) -> None:
        self.net = net
        self.local = threading.local()
        net.score_linear.register_forward_pre_hook(self._keep)

    def _keep(self, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.local.token = inputs[0]

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the score and the token of each picture, (n, 1 + 256)."""
        import torch

        scores = self.net(pictures).reshape(-1, 1)
        return torch.cat([scores, self.local.token], 1)


def _build(name: str) -> torch.nn.Module:
    """Build a network of pyiqa by its own options, with untrained weights and no downloads."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    options = dict(DEFAULT_CONFIGS[name]["metric_opts"])
    module = import_module(f"pyiqa.archs.{METRICS[name].module}_arch")
    if METRICS[name].has_token:
        options["align_crop_face"] = False
    with TemporaryDirectory() as folder, _without_downloads(module, folder):
        net: torch.nn.Module = getattr(module, options.pop("type"))(**options)
    return net


@contextmanager
def _without_downloads(module: Any, folder: str) -> Iterator[None]:
    """Replace what the constructors of a module of pyiqa download by untrained networks.

    LIQE embeds its prompts with the weights of before the file is loaded, and keeps the result in a
    cache that all weights share: it gets zeros instead, and an empty ``folder``.
    """
    import timm
    import torch
    import torchvision

    def skip(*_args: Any, **_options: Any) -> None:
        return None

    def embed_nothing(_net: Any, prompts: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(prompts), _VIT_B_32["embed_dim"])

    with ExitStack() as stack:
        stack.enter_context(_replaced(timm, "create_model", _untrained(timm.create_model)))
        for name in ("resnet34", "resnet50"):
            untrained = _untrained(getattr(torchvision.models, name), "weights")
            stack.enter_context(_replaced(torchvision.models, name, untrained))
        replacements = {
            "load_pretrained_network": skip,
            "FaceRestoreHelper": skip,
            "DEFAULT_CACHE_DIR": folder,
            "load": _build_clip,
        }
        if hasattr(module, "LIQE"):
            stack.enter_context(_replaced(module.LIQE, "get_text_features", embed_nothing))
        for name, replacement in replacements.items():
            if hasattr(module, name):
                stack.enter_context(_replaced(module, name, replacement))
        yield


def _untrained(build: Callable[..., Any], weights_option: str = "") -> Callable[..., Any]:
    def build_untrained(*args: Any, **options: Any) -> Any:
        options.pop("pretrained", None)
        options.pop(weights_option, None)
        return build(*args, **options)

    return build_untrained


def _build_clip(_name: str, _device: str) -> torch.nn.Module:
    from pyiqa.archs.clip_model import CLIP

    net: torch.nn.Module = CLIP(**_VIT_B_32)
    return net


@contextmanager
def _replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _load_parameters(name: str, weights: Weights) -> torch.nn.Module:
    """Return NIQE or BRISQUE, whose constructors read their parameters from a file.

    The parameters are checked and written to a file of the same layout for the constructor, which
    would otherwise execute code that a file may hold.
    """
    import torch

    with TemporaryDirectory() as folder:
        copy = Path(folder) / "parameters"
        if name == "niqe":
            from pyiqa.archs.niqe_arch import NIQE
            from scipy import io

            io.savemat(copy, _read_niqe(weights), appendmat=False)
            return NIQE(pretrained_model_path=str(copy)).eval()
        from pyiqa.archs.brisque_arch import BRISQUE

        parameters = _read_brisque(weights)
        torch.save((parameters["sv_coef"], parameters["sv"]), copy)
        return BRISQUE(pretrained_model_path=str(copy)).eval()


def _read_niqe(weights: Weights) -> Mapping[str, Any]:
    from scipy import io

    if weights.path is None:
        generator = np.random.default_rng(weights.seed)
        factor = generator.normal(size=(36, 36))
        mean = generator.normal(size=(1, 36))
        return {"mu_prisparam": mean, "cov_prisparam": factor @ factor.T / 36}
    try:
        check_matlab(weights.path)
        stored = io.loadmat(weights.path)
    except Exception as error:  # the reader raises errors of many types for a damaged file
        raise UserError(
            f"{weights.path}: cannot be read as NIQE's parameters ({describe_load_error(error)}); "
            "give pyiqa's niqe_modelparameters.mat"
        ) from error
    shapes = {key: np.shape(stored.get(key, 0.0)) for key in _NIQE_SHAPES}
    shapes["mu_prisparam"] = tuple(n for n in shapes["mu_prisparam"] if n != 1)
    _check_shapes(shapes, _NIQE_SHAPES, weights.path)
    return {key: stored[key] for key in _NIQE_SHAPES}


def _read_brisque(weights: Weights) -> Mapping[str, Any]:
    import torch

    if weights.path is None:
        generator = torch.Generator().manual_seed(weights.seed)
        return {
            "sv_coef": torch.randn(_RANDOM_VECTORS, generator=generator),
            "sv": torch.rand(_RANDOM_VECTORS, 36, generator=generator) * 2 - 1,
        }
    try:
        stored = load_tensors(weights.path)
    except Exception as error:
        raise UserError(
            f"{weights.path}: cannot be read as BRISQUE's parameters "
            f"({describe_load_error(error)}); give pyiqa's brisque_svm_weights.pth"
        ) from error
    pair = stored if isinstance(stored, tuple | list) and len(stored) == 2 else (None, None)
    parameters = dict(zip(_BRISQUE_SHAPES, pair, strict=True))
    shapes = {key: tuple(getattr(value, "shape", ())) for key, value in parameters.items()}
    _check_shapes(shapes, _BRISQUE_SHAPES, weights.path)
    return parameters


def _check_shapes(
    shapes: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int | None, ...]],
    path: Path,
) -> None:
    """Raise :class:`UserError` with the counts unless all parameters have the expected shapes."""
    wrong = [
        f"{key} {shapes[key] or 'missing'}"
        for key, shape in expected.items()
        if len(shapes[key]) != len(shape)
        or any(n not in (None, m) for n, m in zip(shape, shapes[key], strict=True))
    ]
    if wrong:
        raise UserError(
            f"{path}: {len(expected) - len(wrong)} of {len(expected)} parameters match; not "
            f"{', '.join(wrong)}; give the file that pyiqa publishes for this metric"
        )
