"""`VectorQuantize`: the layer of vqtorch's document."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.checkpoints.importers.library import random_keys
from codeword.checkpoints.importers.table import KeyTable
from codeword.checkpoints.importers.vqtorch import books_table
from codeword.compat.embedding import EmbeddingView
from codeword.compat.vqtorch.nn.layer import Info, Layer, per_sample, places_of, reduced
from codeword.compat.vqtorch.nn.view import TableView
from codeword.compat.vqtorch.nn.vq import check_option, take
from codeword.errors import CodewordError
from codeword.functional import replace_gradient
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Grouped, Quantizer, VectorQuantizer
from codeword.updates import Gradient

__all__ = ["VectorQuantize"]

_ONLY = {"eps": (1e-8,), "topk": (1,), "tau": (1.0,), "compute_lunif": (False,)}
_WHY = {
    "eps": "vectors of length 0 stay 0 whatever it is",
    "topk": "take codeword.functional.nearest(k=...) for the nearest codes",
    "tau": "take VectorQuantizer(estimator=Sampled(...)) to draw codes",
    "compute_lunif": "compute it from vq.codebook.weight",
}


class VectorQuantize(Layer):
    """The nearest of `num_codes` codes for each vector or group of its features, straight through.

    Args:
        feature_size: of a vector.
        num_codes: how many codes; with shared_codebook=False those of all groups together.
        beta: 0 to 1, the weight of the codebook term; the commitment gets 1 - beta.
        dim: the axis of the features.
        eps, tau, topk, compute_lunif: only their default values.
        mode: "min"; or "none", which returns the input (with length 1 if the output would have it).
        groups: how many groups of features; it divides feature_size.
        dist: "euclidean"; "cosine": the input's length does not matter, and the output has length 1.
        vector_normalize: with "cosine": the output has the input's length instead.
        half_precision, compute_chunks: no effect: the search is exact, in bounded memory.
        shared_codebook: whether all groups have the same codes.
        reduction: of misc["loss"]: "mean", a scalar; "none", one value for each item.

    Returns (forward):
        z_q like z, and misc: `loss`, `q` (..., groups, 1), `d` (..., groups), `z_orig`, `z` and `z_q` like z, and
        `lunif` (None). Batch first, the other axes in the input's order.

    Examples:
        >>> vq = VectorQuantize(feature_size=256, num_codes=512, dist="cosine", groups=4)
        >>> z_q, misc = vq(torch.randn(2, 256, 3, 4))
        >>> z_q.shape, misc["q"].shape, misc["loss"].shape
        (torch.Size([2, 256, 3, 4]), torch.Size([2, 3, 4, 4, 1]), torch.Size([]))
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int = 256,
        beta: float = 0.25,
        dim: int = 1,
        eps: float = 1e-8,
        mode: str = "min",
        tau: float = 1.0,
        topk: int = 1,
        groups: int = 1,
        dist: str = "euclidean",
        vector_normalize: bool = False,
        half_precision: bool = True,
        compute_chunks: int = 8,
        compute_lunif: bool = False,
        shared_codebook: bool = True,
        reduction: str = "mean",
    ) -> None:
        self.groups = groups
        super().__init__(feature_size, num_codes, dim, "none")
        check_option("beta", beta, 0 <= beta <= 1, "from 0 to 1")
        check_option(
            "feature_size", feature_size, feature_size % groups == 0, f"that groups={groups} divides"
        )
        check_option("dist", dist, dist in ("euclidean", "cosine"), "'euclidean' or 'cosine'")
        check_option("reduction", reduction, reduction in ("mean", "none"), "'mean' or 'none'")
        _refuse(eps=eps, topk=topk, tau=tau, compute_lunif=compute_lunif)
        self.set_mode(mode)
        self.beta = beta
        self.cosine = dist == "cosine"
        self.vector_normalize = vector_normalize
        self.shared_codebook = shared_codebook
        self.reduction = reduction
        with torch.random.fork_rng(devices=[]):
            self.quantizer = self._build()
        for book in self.books:  # drawn as the original draws, so that a seed gives the same
            book.init_from_(torch.nn.init.kaiming_uniform_(torch.randn_like(book.codes)))

    @property
    def codebook(self) -> EmbeddingView | list[EmbeddingView]:  # type: ignore[override]
        """The table: `codebook.weight`; with shared_codebook=False a list of the groups' tables."""
        views: list[EmbeddingView] = [TableView([book]) for book in self.books]
        return views[0] if self.shared_codebook else views

    def set_mode(self, mode: str, tau: float = 1.0, topk: int = 1) -> None:
        """Switch between "min" and "none"."""
        check_option(
            "mode", mode, mode in ("min", "none"), "'min' or 'none' (take Sampled(...) to draw codes)"
        )
        _refuse(tau=tau, topk=topk)
        self.mode = mode

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        places = [f"quantizer.{place}" for place in places_of(self.quantizer)]
        books = list(zip(places, self.books, strict=True))
        if self.shared_codebook:
            tables = [books_table(books, {})]
        else:
            tables = [books_table([book], {}, f"codebook.{n}.") for n, book in enumerate(books)]
        return sum(tables, random_keys(self.quantizer).under("", "quantizer."))

    def decode(self, q: Tensor) -> Tensor:
        """What forward returned for its misc["q"], if that alone determines it."""
        native = q.squeeze(-1) if self.groups > 1 else q.flatten(-2).squeeze(-1)
        return self.quantizer.decode(native, dtype=self.quantizer.dtype).movedim(-1, self.dim)

    def forward(self, z: Tensor) -> tuple[Tensor, Info]:
        original, z = z, self.enter(z)
        length = torch.linalg.vector_norm(z, dim=(-2, -1), keepdim=True)
        if self.cosine:
            z = F.normalize(z.flatten(-2), dim=-1).view_as(z)
        if not (self.enabled and self.quantizer.enabled):
            return self._sized(z, length), {}
        misc: Info = {"z_orig": original, "z": self.leave(z), "lunif": None}
        if self.mode == "none":
            return self._sized(z, length), misc | {
                "z_q": misc["z"],
                "loss": z.new_zeros(()),
                "q": None,
                "d": None,
            }
        with torch.autocast(z.device.type, enabled=False):
            self.begin_(z)
            q = self.quantizer(z.flatten(-2)).indices.reshape(*z.shape[:-1])
            found = zip(self.parts, q.unbind(-1), strict=True)
            codes = torch.stack([take(part.codebook.embed, i) for part, i in found], -2)
            if self.cosine:  # each code with the length of its group
                codes = F.normalize(codes, dim=-1) * torch.linalg.vector_norm(z, dim=-1, keepdim=True)
            misc |= {"z_q": self.leave(codes), "q": q[..., None], "loss": self._loss(z, codes)}
            misc["d"] = torch.linalg.vector_norm(z.detach() - codes.detach(), dim=-1)
            z_q = replace_gradient(torch.where(z.isfinite(), codes, torch.nan).to(z.dtype), z)
            return self._sized(z_q, length), misc

    def _sized(self, z_q: Tensor, length: Tensor) -> Tensor:
        """The output (..., groups, features of a group) in the input's layout, and with its length if asked for."""
        if self.cosine and self.vector_normalize:
            z_q = length * F.normalize(z_q.flatten(-2), dim=-1).view_as(z_q)
        return self.leave(z_q)

    def _loss(self, z: Tensor, codes: Tensor) -> Tensor:
        """The loss by `reduction`; with "cosine" of groups with length 1."""
        if self.cosine:
            z, codes = F.normalize(z, dim=-1), F.normalize(codes, dim=-1)
        return reduced(per_sample(z, codes, self.beta), self.reduction)

    def _build(self) -> Quantizer:
        separate = 1 if self.shared_codebook else self.groups
        check_option(
            "num_codes", self.num_codes, self.num_codes >= separate, f"of at least groups={separate}"
        )
        metric = (
            Cosine(unit=True, keep_norm=self.vector_normalize or self.groups > 1)
            if self.cosine
            else Euclidean()
        )
        built = [
            VectorQuantizer(
                self.feature_size // self.groups,
                self.num_codes // separate,
                update=Gradient(init=None, revival=None),
                metric=metric,
                penalties=(Commitment(1 - self.beta), CodebookLoss(self.beta)),
            )
            for _ in range(separate)
        ]
        return built[0] if self.groups == 1 else Grouped(built * (self.groups // separate))


def _refuse(**options: object) -> None:
    """Raise for options that have no meaning here."""
    for name, value in options.items():
        if value not in _ONLY[name]:
            raise CodewordError.of(f"{name}={_ONLY[name][0]}", repr(value), f"leave it out: {_WHY[name]}")
