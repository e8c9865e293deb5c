"""The options of `VectorQuantize`, and the parts of codeword that they choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from math import sqrt
from typing import Any

import torch
from torch import nn

from codeword.axes import Estimator, Penalty, Update
from codeword.compat.vector_quantize_pytorch.codes import Bridge, Codes, Held, Learned, StepsItself, Waits
from codeword.compat.vector_quantize_pytorch.penalties import CodeDiversity, Pull
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.errors import CodewordError
from codeword.estimators import Directional, Rotation, Sampled, StraightThrough
from codeword.inits import KMeans
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import Commitment, CrossEntropy, Orthogonality
from codeword.quantizers import VectorQuantizer
from codeword.revivals import BelowCount
from codeword.updates import EMA, Frozen

__all__ = ["Options"]


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
    commitment_use_cross_entropy_loss: bool = False
    orthogonal_reg_weight: float = 0.0
    orthogonal_reg_active_codes_only: bool = False
    orthogonal_reg_max_codes: int | None = None
    codebook_diversity_loss_weight: float = 0.0
    codebook_diversity_temperature: float = 100.0
    stochastic_sample_codes: bool = False
    sample_codebook_temp: float = 1.0
    straight_through: bool = False
    rotation_trick: bool | None = None
    directional_reparam: bool = False
    directional_reparam_variance: float = 5e-3
    sync_codebook: bool | None = None
    ema_update: bool | None = None
    manual_ema_update: bool = False
    vq_bridge: nn.Module | None = None
    learnable_codebook: bool | None = None
    in_place_codebook_optimizer: Callable[..., Any] | None = None
    manual_in_place_optimizer_update: bool = False
    sync_update_v: float = 0.0
    route_gradients_to_input: bool = True

    def __post_init__(self) -> None:
        if self.use_cosine_sim and self.learnable and not self.orthogonal_reg_weight:
            _exclude(
                "use_cosine_sim", "a codebook that learns by gradient", "codes on the sphere are averages"
            )
        if self.sync_update_v and not self.learnable:
            _exclude("sync_update_v", "learnable_codebook=False", "pass learnable_codebook=True")
        if self.ema_update and self.learnable:
            _exclude("ema_update", "a codebook that learns by gradient", "leave ema_update out")
        if self.in_place_codebook_optimizer is not None and not self.learnable:
            _exclude(
                "in_place_codebook_optimizer", "learnable_codebook=False", "pass learnable_codebook=True"
            )
        chosen = [name for name, on in self._estimators().items() if on and name != "rotation_trick"]
        if self.straight_through and (self.rotation_trick or self.directional_reparam):
            chosen = ["straight_through", *chosen, "rotation_trick"]
        if self.directional_reparam and self.rotation_trick:
            chosen.append("rotation_trick")
        if len(chosen) > 1:
            _exclude(chosen[0], chosen[1], "gradients pass the look-up one way: leave the other out")

    @classmethod
    def of(cls, owner: str, options: dict[str, Any]) -> Options:
        """From keyword arguments.

        An unsupported one raises an error that names it, unless it has the original's default value.
        """
        known = {field.name for field in fields(cls)}
        refuse(owner, {name: value for name, value in options.items() if name not in known})
        return cls(**{name: value for name, value in options.items() if name in known})

    @property
    def learnable(self) -> bool:
        """Whether the codes are a parameter."""
        if self.learnable_codebook is not None:
            return bool(self.learnable_codebook or self.orthogonal_reg_weight)
        return bool(self.directional_reparam or self.orthogonal_reg_weight or self.vq_bridge is not None)

    def build(self, features: int, size: int, *, dim: int = -1, width: int | None = None) -> VectorQuantizer:
        """The vector quantizer of one codebook."""
        vq = Codes(
            features,
            size,
            dim=dim,
            code_features=None if width == features else width,
            update=self._rule(size),
            metric=Cosine(unit=True) if self.use_cosine_sim else Euclidean(),
            estimator=self._estimator(features),
            penalties=tuple(self._penalties()),
        )
        vq.routes = self.route_gradients_to_input
        if not self.kmeans_init:
            book = vq.codebook
            bound = sqrt(6 / book.codes.numel())  # Kaiming's for a tensor (1, K, D), as theirs is
            codes = torch.empty_like(book.codes).uniform_(-bound, bound)
            book.init_from_(torch.nn.functional.normalize(codes, dim=-1) if self.use_cosine_sim else codes)
        vq.codebook.frozen = self.freeze_codebook
        if self.in_place_codebook_optimizer is not None:
            vq.steps_itself = StepsItself(
                vq.codebook, self.in_place_codebook_optimizer, self.manual_in_place_optimizer_update
            )
            vq.drops = True  # the output is searched again, with the codes after their step
        return vq

    def _rule(self, size: int) -> Update:
        init = KMeans(steps=self.kmeans_iters) if self.kmeans_init else None
        common: dict[str, Any] = {
            "decay": self.decay,
            "init": init,
            "revival": BelowCount(self.threshold_ema_dead_code, at_most=size)
            if self.threshold_ema_dead_code
            else None,
            "sync": self.sync_codebook is not False,
        }
        if self.learnable:
            bridge = None if self.vq_bridge is None else Bridge(self.vq_bridge)
            return Learned(**common, transform=bridge)
        if self.ema_update is False:
            return Held(**common) if self.threshold_ema_dead_code else Frozen(init=init, sync=common["sync"])
        if self.manual_ema_update:
            return Waits(**common, smoothing=self.eps)
        return EMA(**common, smoothing=self.eps)

    def _estimators(self) -> dict[str, bool]:
        return {
            "directional_reparam": self.directional_reparam,
            "sync_update_v": self.sync_update_v > 0,
            "stochastic_sample_codes": self.stochastic_sample_codes and self.sample_codebook_temp > 0,
            "rotation_trick": bool(self.rotation_trick),
        }

    def _estimator(self, features: int) -> Estimator:
        chosen = self._estimators()
        if chosen["directional_reparam"]:
            return Directional(noise=sqrt(self.directional_reparam_variance))
        if chosen["sync_update_v"]:
            return StraightThrough(sync=self.sync_update_v)
        if chosen["stochastic_sample_codes"]:
            return Sampled(self.sample_codebook_temp)
        rotates = features > 1 if self.rotation_trick is None else self.rotation_trick
        return Rotation() if rotates and not self.straight_through else StraightThrough()

    def _penalties(self) -> Iterable[Penalty]:
        weight = 0.0 if self.directional_reparam else self.commitment_weight
        if weight and self.commitment_use_cross_entropy_loss:
            yield CrossEntropy(weight)
        elif self.learnable and not self.directional_reparam:
            yield Pull(weight)  # of 0, where nothing, or an optimiser of their own, moves the codes
        elif weight:
            yield Commitment(weight)
        if self.orthogonal_reg_weight:
            yield Orthogonality(self.orthogonal_reg_weight, active=self.orthogonal_reg_active_codes_only)
        if self.codebook_diversity_loss_weight:
            yield CodeDiversity(self.codebook_diversity_loss_weight, self.codebook_diversity_temperature)


def _exclude(first: str, second: str, remedy: str) -> None:
    raise CodewordError.of("options that go together", f"{first} with {second}", remedy)
