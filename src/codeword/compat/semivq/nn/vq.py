"""`VectorQuant` of semivq."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from codeword.axes import TransformModule
from codeword.checkpoints.importers.semivq import DEEP
from codeword.compat.semivq.nn.approaches import LearnedStd, MLPShift, code_shift
from codeword.compat.semivq.nn.mlp import MLP, norms_in
from codeword.compat.vqtorch.nn import vq
from codeword.compat.vqtorch.nn.affine import AffineTransform
from codeword.compat.vqtorch.nn.layer import Info, hits_of
from codeword.compat.vqtorch.nn.table import Table
from codeword.compat.vqtorch.nn.vq import check_option
from codeword.errors import CodewordError

__all__ = ["VectorQuant"]

_PENALTIES = ("default", "between1", "small")


class VectorQuant(vq.VectorQuant):
    """The nearest of `num_codes` codes, whose spread or shift a network learns from the codebook.

    Args:
        feature_size: of a vector.
        num_codes: how many codes.
        beta, sync_nu, affine_lr, affine_groups, replace_freq, inplace_optimizer: as in
            `codeword.compat.vqtorch.nn.VectorQuant`.
        using_statistics: whether the affine map follows running moments, whatever affine_lr is.
        use_learnable_std: approach 1, the standard deviation alpha of each feature is learned.
        alter_penalty: what `alpha_loss()` is: "default", "between1" or "small".
        use_learnable_gamma: approaches 2 and 3, a shift of the output is learned.
        gamma_policy: "default": one shift (approach 2); "personalize": one for each code (approach 3).
        batch_norm: whether the networks have batch norms, as in the newest code; a state dictionary decides anew.
        history: of how many training forwards `get_dynamic_info()` tells.
        base: `dim`, `norm`, `cb_norm`, `kmeans_init`, `reduction`: as in vqtorch.

    Returns (forward):
        z_q like z, and info as in vqtorch, with `perplexity` (of the batch) and `active_ratio` (percent, a float).

    Examples:
        >>> layer = VectorQuant(32, num_codes=64, use_learnable_gamma=True, gamma_policy="personalize")
        >>> z_q, info = layer(torch.randn(2, 32, 7, 7))
        >>> z_q.shape, info["q"].shape, info["active_ratio"] > 0
        (torch.Size([2, 32, 7, 7]), torch.Size([2, 7, 7, 1]), True)
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int = 1024,
        beta: float = 0.97125,
        sync_nu: float = 0.0,
        affine_lr: float = 0.0,
        affine_groups: int = 1,
        replace_freq: int = 0,
        inplace_optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        using_statistics: bool = False,
        use_learnable_std: bool = False,
        alter_penalty: str = "default",
        use_learnable_gamma: bool = False,
        gamma_policy: str = "default",
        *,
        batch_norm: bool = True,
        history: int = 0,
        **base: Any,
    ) -> None:
        check_option(
            "alter_penalty", alter_penalty, alter_penalty in _PENALTIES, f"of {', '.join(_PENALTIES)}"
        )
        known = gamma_policy in ("default", "personalize")
        check_option("gamma_policy", gamma_policy, known, "'default' or 'personalize'")
        if use_learnable_std:
            check_option("affine_groups", affine_groups, affine_groups == 1, "1 with use_learnable_std")
        self.using_statistics = using_statistics
        self.use_learnable_std = use_learnable_std
        self.alter_penalty = alter_penalty
        self.gamma_policy = gamma_policy if use_learnable_gamma else None
        self.norms = 3 if batch_norm else 0
        self.penalty_calls = 0
        self._history: deque[tuple[Any, Any, Any]] = deque(maxlen=history)
        super().__init__(
            feature_size,
            num_codes,
            beta,
            sync_nu,
            affine_lr,
            affine_groups,
            replace_freq,
            inplace_optimizer,
            **base,
        )

    deep = tuple(f"shift.{key}weight" for key in DEEP)

    # Building -------------------------------------------------------------------------------------------------

    def build_shift(self, width: int) -> TransformModule | None:
        if self.gamma_policy is None:
            return None
        if self.gamma_policy == "personalize":
            return code_shift(width, self.num_codes)
        self._check_width(width)
        return MLPShift(width, self.num_codes, self.norms)

    def build_affine(self, width: int, rate: float, groups: int) -> AffineTransform | None:
        if self.use_learnable_std:
            self._check_width(width)
            return LearnedStd(width, self.num_codes, self.norms)
        if self.using_statistics:
            return AffineTransform(width, use_running_statistics=True, num_groups=groups)
        return super().build_affine(width, rate, groups)

    def _check_width(self, width: int) -> None:
        if self.norms and width < 2:
            raise CodewordError.of(
                "a feature_size of at least 2, over which batch norms are taken",
                repr(width),
                "pass batch_norm=False, or gamma_policy='personalize'",
            )

    # Names of the original ------------------------------------------------------------------------------------

    def alpha_loss(self) -> Tensor | float | None:
        """The penalty on alpha by `alter_penalty`, with its gradient; add it to your loss with a small weight.

        "default": -sum alpha^2; "between1": sum (1 - alpha)^2; "small": -(i / 2) sum alpha^2 in its i-th call. 1.0
        where alpha is not learned, None without an affine map.
        """
        affine = self.affine_transform
        if affine is None:
            return None
        if not isinstance(affine, LearnedStd):
            return 1.0
        alpha = self._alpha()
        assert alpha is not None
        if self.alter_penalty == "between1":
            return (1 - alpha).square().sum()
        if self.alter_penalty == "small":
            self.penalty_calls += 1
            return -0.5 * self.penalty_calls * alpha.square().sum()
        return -alpha.square().sum()

    @torch.no_grad()
    def get_alpha(self) -> Tensor | None:
        """The scale of the codes as it is now, (affine_groups, 1, features)."""
        return self._alpha()

    def get_last_mean(self) -> Tensor | None:
        """The bias of the codes as it is now, (affine_groups, 1, features)."""
        affine = self.affine_transform
        return None if affine is None else affine.get_affine_params()[1]

    def get_inner_layer(self) -> MLP:
        """The network of approach 1."""
        affine = self.affine_transform
        if not isinstance(affine, LearnedStd):
            raise CodewordError.of("a layer that learns alpha", "one without", "pass use_learnable_std=True")
        return affine.mlp_std

    def get_dynamic_info(self) -> tuple[list[Any], list[Any], list[Any]] | None:
        """Alpha of the first two features and its mean, of the last `history` training forwards."""
        if not self.use_learnable_std:
            return None
        first, second, mean = ([entry[n] for entry in self._history] for n in range(3))
        return first, second, mean

    def _alpha(self) -> Tensor | None:
        book = self.books[0]
        return book.transform.alpha(book.codes.clone()) if isinstance(book.transform, Table) else None

    # States ---------------------------------------------------------------------------------------------------

    def _names(self) -> dict[str, str]:
        return {"affine.": "affine_transform.", "shift.": "gamma_learner."} | {
            f"shift.{native}": f"gamma_learner.{theirs}" for native, theirs in DEEP.items()
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        own = [key for key in state_dict if key.startswith(prefix)]
        for module in self.modules():
            if isinstance(module, LearnedStd):
                module.mlp_std.set_norms(self._norms_in(own, "mlp_std."))
            elif isinstance(module, MLPShift):
                module._layer.set_norms(self._norms_in(own, "_layer."))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _norms_in(self, keys: list[str], place: str) -> int:
        found = norms_in(keys, place)
        return self.norms if found is None else found

    # The way --------------------------------------------------------------------------------------------------

    def forward(self, z: Tensor) -> tuple[Tensor, Info]:
        quantized, info = super().forward(z)
        if not info:
            return quantized, info
        hits = hits_of(info["q"].flatten(), info["z"].flatten(0, -2), self.num_codes)
        share = hits / hits.sum().clamp_min(1)
        info["perplexity"] = (-(share * (share + 1e-7).log()).sum()).exp()
        info["active_ratio"] = int((hits > 0).sum()) / self.num_codes * 100
        if self.training and self._history.maxlen and self.use_learnable_std:
            alpha = self.get_alpha()
            assert alpha is not None
            kept = alpha.flatten().cpu().numpy()
            self._history.append((kept[0], kept[min(1, len(kept) - 1)], kept.mean()))
        return quantized, info
