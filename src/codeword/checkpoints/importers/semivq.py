"""semivq (Soft-discretization): vqtorch's table, and what its networks make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.axes import Transform
from codeword.checkpoints.importers.library import Library, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, dropped
from codeword.checkpoints.importers.vqtorch import books_table, refuse_keys
from codeword.errors import CodewordError
from codeword.estimators import StraightThrough
from codeword.inits import KMeans
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.transforms import Affine, CodeGamma, Gamma
from codeword.updates import Gradient

__all__ = ["DEEP", "SemiVQ"]

DEEP = {"first.": "_layer.0.", "second.": "_layer.2."}
"""The two convolutions of `CodeGamma`, which the original has over images: their weights have one more axis."""

_STD = "affine_transform.mlp_std."
_GAMMA = "gamma_learner._layer."
_BOUNDED = f"{_GAMMA}elu"  # our own word for an ELU after the last layer
_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class SemiVQ(Library):
    """`VectorQuant`, by its state: a plain or affine codebook, approach 1, 2 or 3, of any generation of its networks.

    In eval the quantizer is the same. What codeword has no rule for is worked into it: codes with running moments or
    a learned standard deviation are converted as they are searched, batch norms become part of the layers before
    them. So not all of them can be converted back; the facade `codeword.compat.semivq` keeps everything.

    Args:
        beta, sync_nu: as it was built; they matter should training go on.
        affine_lr: as it was built: the state does not tell.
        dim: the axis of the features.

    Source: Soft-discretization, of the commits 4e234fb and 670e154.
    """

    beta: float = 0.97125
    sync_nu: float = 0.0
    affine_lr: float = 1.0
    dim: int = 1

    def respell(self, state: State) -> State:
        """A state of codes, of an affine map that is learned, and of networks without batch norms.

        Raises:
            CodewordError: keys of a norm of the input, which has no place in the quantizer.
        """
        refuse_keys(state, ("norm_layer.",))
        shifts = any(key.startswith("gamma_learner.") for key in state)
        if "affine_transform.running_ze_mean" in state or ("affine_transform.scale" in state and shifts):
            codes = self._searched(state)
            state = {key: value for key, value in state.items() if not key.startswith("affine_transform.")}
            state["codebook.weight"] = codes
        if f"{_GAMMA}_liner1.weight" not in state:
            return state
        spelled = {key: value for key, value in state.items() if not key.startswith(_GAMMA)}
        for number, (weight, bias) in enumerate(_layers(state, _GAMMA), 1):
            spelled |= {f"{_GAMMA}_liner{number}.weight": weight, f"{_GAMMA}_liner{number}.bias": bias}
        return spelled | ({_BOUNDED: torch.tensor(True)} if f"{_GAMMA}_norm3.weight" in state else {})

    def build(self, state: State) -> Quantizer:
        size, features = only(state, "codebook.weight").shape
        init = KMeans() if "data_initialized" in state else None
        return VectorQuantizer(
            features,
            size,
            dim=self.dim,
            update=Gradient(init=init, revival=None, transform=self._transform(state)),
            estimator=StraightThrough(sync=self.sync_nu),
            penalties=(Commitment(1 - self.beta), CodebookLoss(self.beta)),
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, VectorQuantizer)
        rule = quantizer.codebook.update.transform
        names = {"": "affine_transform."}
        if isinstance(rule, CodeGamma):
            names = {key: f"gamma_learner.{theirs}" for key, theirs in DEEP.items()}
        elif isinstance(rule, Gamma):
            names = {f"network.{2 * n}.": f"{_GAMMA}_liner{n + 1}." for n in range(3)}
        deep = tuple(f"{key}weight" for key in DEEP) if isinstance(rule, CodeGamma) else ()
        table = books_table([("codebook.", quantizer.codebook)], names, deep=deep)
        if isinstance(rule, Gamma) and rule.bounded:
            table += KeyTable([dropped(_BOUNDED, "the option `bounded` of Gamma", _refuse)])
        return (
            table
            + random_keys(quantizer)
            + KeyTable([dropped("_counts", "who waits to be replaced starts anew", optional=True)])
        )

    def _transform(self, state: State) -> Transform | None:
        if "gamma_learner._layer.0.weight" in state:
            return CodeGamma(moments_learn=True)
        if f"{_GAMMA}_liner1.weight" in state:
            return Gamma(bounded=_BOUNDED in state)
        scale = state.get("affine_transform.scale")
        return None if scale is None else Affine(rate=self.affine_lr, groups=len(scale))

    def _searched(self, state: State) -> Tensor:
        """The codes (K, D) that are searched, in eval."""
        codes = only(state, "codebook.weight")
        affine = {
            key.removeprefix("affine_transform."): value
            for key, value in state.items()
            if key.startswith("affine_transform.")
        }
        if "scale" in affine:
            scale, bias = 1 + self.affine_lr * affine["scale"], self.affine_lr * affine["bias"]
        else:
            scale = (affine["running_ze_var"] / (affine["running_c_var"] + 1e-8)).sqrt()
            bias = affine["running_ze_mean"] - scale * affine["running_c_mean"]
        if "mlp_std._liner1.weight" in affine:
            scale = _run(torch.cat([codes, scale, bias]).T, affine, "mlp_std.").T
        each = len(codes) // len(scale)
        return scale.repeat_interleave(each, 0) * codes + bias.repeat_interleave(each, 0)


def _layers(state: State, place: str) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of the three layers of a network, with the batch norms after them, as they are in eval."""
    layers = []
    for number in range(1, 4):
        weight, bias = (only(state, f"{place}_liner{number}.{name}") for name in ("weight", "bias"))
        if f"{place}_norm{number}.weight" in state:
            gain, shift, mean, variance = (only(state, f"{place}_norm{number}.{name}") for name in _NORM)
            scale = gain / (variance + 1e-5).sqrt()
            weight, bias = scale[:, None] * weight, scale * (bias - mean) + shift
        layers.append((weight, bias))
    return layers


def _run(x: Tensor, state: State, place: str) -> Tensor:
    """What such a network makes of x, in eval."""
    bounded = f"{place}_norm3.weight" in state
    for number, (weight, bias) in enumerate(_layers(state, place), 1):
        x = F.linear(x, weight, bias)
        x = F.elu(x) if number < 3 or bounded else x
    return x


def _refuse() -> NoReturn:
    raise CodewordError.of(
        "a quantizer whose state the original can read",
        "a shift whose batch norms are part of its layers",
        "keep the state dictionary that it was converted from",
    )
