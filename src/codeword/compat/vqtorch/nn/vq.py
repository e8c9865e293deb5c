"""`VectorQuant`, and the parts that its residual and grouped forms share with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from codeword.axes import TransformModule
from codeword.compat.vqtorch.nn.affine import AffineTransform
from codeword.compat.vqtorch.nn.in_place import InPlace, Stepped
from codeword.compat.vqtorch.nn.layer import Info, Layer, per_sample
from codeword.compat.vqtorch.nn.table import Table
from codeword.compat.vqtorch.nn.utils.replace import lru_replacement
from codeword.errors import CodewordError
from codeword.estimators import StraightThrough
from codeword.inits import KMeans
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.updates import Gradient

__all__ = ["VectorQuant", "check_option", "take"]


class VectorQuant(Layer):
    """The nearest of `num_codes` codes for each vector, straight through.

    Args:
        feature_size: of a vector.
        num_codes: how many codes.
        beta: 0 to 1, the weight of the codebook term; the commitment gets 1 - beta.
        sync_nu: the share of the output's gradient that also goes to the codes.
        affine_lr: how fast an affine map of all codes is learned; 0: there is none.
        affine_groups: how many blocks of codes have a map of their own.
        replace_freq: after how many forwards without use a code moves to an input; 0: never.
        inplace_optimizer: builds an optimiser of the given parameters; it takes a step on the table in each training
            forward; only with beta=1.
        dim: the axis of the features.
        norm: of the input: "none", "l2" (unit length), "l2c" (at most 10), "bn", "gn", "in".
        cb_norm: of the codes: "none", "l2" (at most 10), "l2c" (unit length).
        kmeans_init: whether the first training batch gives the first codes.
        code_vector_size: the size of a code vector, which must be that of the layer.
        reduction: of info["loss"]: "mean", a scalar; "none", one value for each item.

    Returns (forward):
        z_q like z, and info: `z` and `z_q` (..., groups, features of a group), `d` (the distance) and `q` (the
        index) (..., groups), `loss`, `perplexity` (None). Batch first, the other axes in the input's order.

    Examples:
        >>> vq = VectorQuant(feature_size=32, num_codes=64, beta=0.98, kmeans_init=True, dim=-1)
        >>> z_q, info = vq(torch.randn(2, 100, 32))
        >>> z_q.shape, info["q"].shape, info["loss"].shape
        (torch.Size([2, 100, 32]), torch.Size([2, 100, 1]), torch.Size([]))
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        beta: float = 0.95,
        sync_nu: float = 0.0,
        affine_lr: float = 0.0,
        affine_groups: int = 1,
        replace_freq: int = 0,
        inplace_optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        *,
        dim: int = 1,
        norm: str | None = "none",
        cb_norm: str | None = "none",
        kmeans_init: bool = False,
        code_vector_size: int | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(feature_size, num_codes, dim, norm)
        check_option("beta", beta, 0 <= beta <= 1, "from 0 to 1")
        check_option("sync_nu", sync_nu, sync_nu >= 0, "of at least 0")
        check_option("affine_lr", affine_lr, affine_lr >= 0, "of at least 0")
        check_option("reduction", reduction, reduction in ("mean", "none"), "'mean' or 'none'")
        self.beta = beta
        self.nu = sync_nu
        self.affine_lr = affine_lr
        self.codebook_norm = cb_norm
        self.reduction = reduction
        with torch.random.fork_rng(devices=[]):
            self.quantizer = self.arrange(
                lambda width, size: self._vector_quantizer(width, size, kmeans_init)
            )
        width = self.code_vector_size = self.parts[0].features
        check_option(
            "code_vector_size", code_vector_size, code_vector_size in (None, width), f"{width} or none"
        )
        shift = self.build_shift(width)
        self._draw_codes()
        self._set_tables(Table(cb_norm, self.build_affine(width, affine_lr, affine_groups), shift))
        if inplace_optimizer is not None:
            check_option("beta", beta, beta == 1, "1.0 with inplace_optimizer")
            self._step_in_place(inplace_optimizer)
        if replace_freq > 0:
            lru_replacement(self, rho=0.01, timeout=replace_freq)

    # Building -------------------------------------------------------------------------------------------------

    def arrange(self, build: Callable[[int, int], VectorQuantizer]) -> Quantizer:
        """The quantizer, of vector quantizers that `build` makes of their features and number of codes."""
        return build(self.feature_size, self.num_codes)

    def build_shift(self, width: int) -> TransformModule | None:
        """The shift that is added to returned codes of `width` features; None: there is none."""
        return None

    def build_affine(self, width: int, rate: float, groups: int) -> AffineTransform | None:
        """The affine map of codes of `width` features; None: there is none."""
        return AffineTransform(width, lr_scale=rate, num_groups=groups) if rate > 0 else None

    def _vector_quantizer(self, width: int, size: int, kmeans_init: bool) -> VectorQuantizer:
        return VectorQuantizer(
            width,
            size,
            update=Gradient(init=KMeans() if kmeans_init else None, revival=None),
            estimator=StraightThrough(sync=self.nu),
            penalties=(Commitment(1 - self.beta), CodebookLoss(self.beta)),
        )

    def _draw_codes(self) -> None:
        """Normal codes, drawn by torch's generator in the original's order, so that a seed gives the same."""
        first = self.books[0].codes
        shapes = [(self.num_codes, self.feature_size)]
        if self.groups_draw_anew:
            shapes += [(len(self.books) * len(first), first.shape[1])]
        for shape in shapes:
            codes = torch.randn(shape, dtype=first.dtype, device=first.device)
        for book, own in zip(self.books, codes.chunk(len(self.books)), strict=True):
            if book.update.init is None:
                book.init_from_(own)
            else:
                book.codes.data.copy_(own)

    groups_draw_anew = False  # whether the original draws a first table that it does not use

    def _set_tables(self, table: Table) -> None:
        if table.needed:
            for book in self.books:
                own = Table(table.norm, table.affine, table.shift) if len(self.books) > 1 else table
                book.transform, book.groups = own, False
            if table.affine is not None:
                table.affine.of_each(self.books[0].codes)  # which refuses groups that do not divide

    def _step_in_place(self, build: Any) -> None:
        steps = []
        for book in self.books:
            steps.append(InPlace(book, build))
            book.update = Stepped(init=book.update.init, revival=None, steps=(steps[-1],))
            book.groups = False
        self.in_place = torch.nn.ModuleList(steps)

    # The way --------------------------------------------------------------------------------------------------

    def forward(self, z: Tensor) -> tuple[Tensor, Info]:
        z = self.enter(z)
        if not (self.enabled and self.quantizer.enabled):
            return self.leave(z), {}
        with torch.autocast(z.device.type, enabled=False):
            self.begin_(z)
            searched = self._searched() if self._returns_others() else None
            out = self.quantizer(z.flatten(-2))
            found = (out.indices if self.quantizer.index_shape else out.indices.unsqueeze(-1)).unbind(-1)
            codes = torch.stack([take(part._embed, i) for part, i in zip(self.parts, found, strict=True)], -2)
            old = codes.detach()
            if searched is not None:
                old = torch.stack([take(t.__getitem__, i) for t, i in zip(searched, found, strict=True)], -2)
            info = self.describe(z, codes, old)
            info |= {"q": self.indices_of(out.indices), "perplexity": None}
            info["loss"] = self.loss_of(z, info["z_q"], out.loss)
        return self.leave(out.quantized.unflatten(-1, z.shape[-2:])), info

    def describe(self, z: Tensor, codes: Tensor, old: Tensor) -> Info:
        """The info of the input (..., groups, features), its codes and the searched codes."""
        return {"z": z, "z_q": codes, "d": torch.linalg.vector_norm(z.detach() - old, dim=-1)}

    def _returns_others(self) -> bool:
        """Whether other codes are returned than were searched."""
        shifts = [
            isinstance(book.transform, Table) and book.transform.shift is not None for book in self.books
        ]
        return self.in_place is not None or any(shifts)

    def _searched(self) -> list[Tensor]:
        """The codes of each part as they are before the forward."""
        tables = [book.searched().detach().clone() for book in self.books]
        return tables * (len(self.parts) // len(tables))

    def compute_loss(self, z_e: Tensor, z_q: Tensor) -> Tensor:
        """The loss of each item of the first axis."""
        return per_sample(z_e, z_q, self.beta)

    def loss_of(self, z: Tensor, z_q: Tensor, mean: Tensor) -> Tensor:
        """The loss by `reduction`; `mean` is that of the quantizer."""
        return mean if self.reduction == "mean" else self.compute_loss(z, z_q)


def check_option(name: str, value: object, holds: bool, expected: str) -> None:
    """Raise unless the option has an allowed value."""
    if not holds:
        raise CodewordError.of(f"{name} {expected}", repr(value), f"pass another {name}")


def take(codes: Callable[[Tensor], Tensor], indices: Tensor) -> Tensor:
    """Extend `codes`, a function of indices (N,), to indices of any shape."""
    return codes(indices.flatten()).unflatten(0, indices.shape)
