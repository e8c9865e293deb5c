"""The options of `VectorQuantize`, and the parts of codeword that they choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import sqrt
from typing import Any

import torch

from codeword.axes import Estimator, Penalty, Update
from codeword.compat.old_codes import OldCodes
from codeword.errors import CodewordError
from codeword.estimators import Directional, Rotation, Sampled, StraightThrough
from codeword.inits import KMeans
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import CodebookLoss, Commitment, Orthogonality
from codeword.quantizers import VectorQuantizer
from codeword.revivals import BelowCount
from codeword.updates import EMA, Gradient

__all__ = ["Options", "refuse"]

_INSTEAD = {
    "affine_param": "update=Gradient(transform=RunningAffine())",
    "sync_affine_param": "update=Gradient(transform=RunningAffine())",
    "vq_bridge": "a transform of the codes, such as update=Frozen(transform=Linear())",
    "in_place_codebook_optimizer": "update=InPlaceAdam()",
    "codebook_diversity_loss_weight": "penalties=(Commitment(), Diversity())",
    "layernorm_after_project_in": "a LayerNorm of your own before the layer",
    "beam_size": "encode(x, beam=...) of codeword.Residual",
    "eval_beam_size": "encode(x, beam=...) of codeword.Residual",
    "spherical": "codeword.BSQ",
    "noise_dropout": "codeword.FSQ(..., bound=Symmetric(), noise=...)",
    "codebook_transform": "a TransformModule of your own",
}


@dataclass(frozen=True)
class Options:
    """How codes start, learn, are compared and are revived: names and defaults of the original.

    Raises:
        CodewordError: options that exclude each other.
    """

    decay: float = 0.8
    eps: float = 1e-5
    freeze_codebook: bool = False
    kmeans_init: bool = False
    kmeans_iters: int = 10
    use_cosine_sim: bool = False
    threshold_ema_dead_code: float = 0
    commitment_weight: float = 1.0
    orthogonal_reg_weight: float = 0.0
    orthogonal_reg_active_codes_only: bool = False
    orthogonal_reg_max_codes: int | None = None
    stochastic_sample_codes: bool = False
    sample_codebook_temp: float = 1.0
    rotation_trick: bool | None = None
    directional_reparam: bool = False
    directional_reparam_variance: float = 5e-3
    sync_codebook: bool | None = None
    learnable_codebook: bool | None = None
    ema_update: bool | None = None
    sync_update_v: float = 0.0

    def __post_init__(self) -> None:
        if self.use_cosine_sim and self.learnable:
            _exclude(
                "use_cosine_sim", "a codebook that learns by gradient", "codes on the sphere are averages"
            )
        if self.sync_update_v and not self.learnable:
            _exclude("sync_update_v", "learnable_codebook=False", "pass learnable_codebook=True")
        if self.ema_update is not None and bool(self.ema_update) == self.learnable:
            _exclude(
                "ema_update",
                f"learnable_codebook={self.learnable}",
                "codes learn one way: leave ema_update out",
            )
        chosen = [name for name, on in self._estimators().items() if on]
        if len(chosen) > 1:
            _exclude(chosen[0], chosen[1], "gradients pass the look-up one way: leave the other out")

    @classmethod
    def of(cls, owner: str, options: dict[str, Any]) -> Options:
        """From keyword arguments; one that is not there is refused by name."""
        refuse(owner, options, (field.name for field in fields(cls)))
        return cls(**options)

    @property
    def learnable(self) -> bool:
        """Whether the codes are a parameter."""
        return bool(self.learnable_codebook or self.directional_reparam or self.orthogonal_reg_weight)

    def build(self, features: int, size: int, *, dim: int = -1, width: int | None = None) -> VectorQuantizer:
        """The vector quantizer of one codebook."""
        vq = OldCodes(
            features,
            size,
            dim=dim,
            code_features=None if width == features else width,
            update=self._rule(size),
            metric=Cosine(unit=True) if self.use_cosine_sim else Euclidean(),
            estimator=self._estimator(),
            penalties=tuple(self._penalties()),
        )
        if not self.kmeans_init:
            book = vq.codebook
            bound = sqrt(6 / book.codes.numel())  # Kaiming's for a tensor (1, K, D), as theirs is
            codes = torch.empty_like(book.codes).uniform_(-bound, bound)
            book.init_from_(torch.nn.functional.normalize(codes, dim=-1) if self.use_cosine_sim else codes)
        vq.codebook.frozen = self.freeze_codebook
        return vq

    def _rule(self, size: int) -> Update:
        common: dict[str, Any] = {
            "decay": self.decay,
            "init": KMeans(steps=self.kmeans_iters) if self.kmeans_init else None,
            "revival": BelowCount(self.threshold_ema_dead_code, at_most=size)
            if self.threshold_ema_dead_code
            else None,
            "sync": self.sync_codebook is not False,
        }
        if self.learnable:
            return Gradient(**common)
        return EMA(**common, smoothing=self.eps)

    def _estimators(self) -> dict[str, bool]:
        return {
            "directional_reparam": self.directional_reparam,
            "sync_update_v": self.sync_update_v > 0,
            "stochastic_sample_codes": self.stochastic_sample_codes and self.sample_codebook_temp > 0,
            "rotation_trick": bool(self.rotation_trick),
        }

    def _estimator(self) -> Estimator:
        chosen = self._estimators()
        if chosen["directional_reparam"]:
            return Directional(noise=sqrt(self.directional_reparam_variance))
        if chosen["sync_update_v"]:
            return StraightThrough(sync=self.sync_update_v)
        if chosen["stochastic_sample_codes"]:
            return Sampled(self.sample_codebook_temp)
        return StraightThrough() if self.rotation_trick is False else Rotation()

    def _penalties(self) -> Iterable[Penalty]:
        if self.commitment_weight and not self.directional_reparam:
            yield Commitment(self.commitment_weight)
            if self.learnable:  # theirs is one term, whose gradient goes to both sides
                yield CodebookLoss(self.commitment_weight)
        if self.orthogonal_reg_weight:
            yield Orthogonality(self.orthogonal_reg_weight, active=self.orthogonal_reg_active_codes_only)


def refuse(owner: str, options: Iterable[str], known: Iterable[str] = ()) -> None:
    """Raise for an option that is not honoured, by its name."""
    known = list(known)
    for name in options:
        if name not in known:
            instead = _INSTEAD.get(name)
            remedy = f"build it of codeword's own parts: {instead}" if instead else "leave it out"
            raise CodewordError.of(f"options of {owner} that are honoured here", f"{name}", remedy)


def _exclude(first: str, second: str, remedy: str) -> None:
    raise CodewordError.of("options that go together", f"{first} with {second}", remedy)
