"""What the layers of vqtorch share: a quantizer of codeword with the old names and results around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.library import random_keys
from codeword.checkpoints.importers.table import KeyTable, kept, renamed
from codeword.checkpoints.importers.vqtorch import books_table
from codeword.codebooks import Codebook
from codeword.compat.state import Facade
from codeword.compat.vqtorch.nn.affine import AffineTransform
from codeword.compat.vqtorch.nn.inputs import check_input, grouped, input_norm
from codeword.compat.vqtorch.nn.table import Table
from codeword.compat.vqtorch.nn.view import TableView
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.quantizers.composite.base import Composite

__all__ = ["Info", "Layer", "hits_of", "per_sample", "places_of", "reduced"]

Info = dict[str, Any]


class Layer(Facade):
    """A layer of vqtorch around a quantizer of codeword over (..., features).

    Attributes:
        quantizer: codeword's quantizer, which holds the codes.
        enabled: False: the input is returned, normalised if the layer has a norm, with an empty info.
    """

    enabled = True
    groups = 1
    topk = 1
    deep: Collection[str] = ()  # keys of a `Table` that the original keeps with one more axis

    def __init__(self, feature_size: int, num_codes: int, dim: int, norm: str | None) -> None:
        super().__init__()
        sizes = {"feature_size": feature_size, "num_codes": num_codes, "groups": self.groups}
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise CodewordError.of(f"{name} of at least 1", repr(value), f"pass a whole number as {name}")
        self.feature_size = feature_size
        self.num_codes = num_codes
        self.dim = dim
        self.norm = norm
        self.before = input_norm(norm, feature_size)
        self.in_place: nn.ModuleList | None = None
        self.register_buffer("waits", None)

    quantizer: Quantizer
    waits: Tensor | None

    # Names of the original ------------------------------------------------------------------------------------

    @property
    def codebook(self) -> TableView:
        """The table: `codebook.weight`."""
        return TableView(self.books)

    @property
    def norm_layer(self) -> nn.Module:
        return self.before

    @property
    def affine_transform(self) -> AffineTransform | None:
        """The affine map of the codes; assign one to put it in place of another."""
        transform = self.books[0].transform
        return transform.affine if isinstance(transform, Table) else None

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "affine_transform":  # torch sets modules past properties
            for book in self.books:
                old = book.transform if isinstance(book.transform, Table) else Table("none")
                book.transform, book.groups = Table(old.norm, value, old.shift), False
        else:
            super().__setattr__(name, value)

    @property
    def _counts(self) -> Tensor:
        if self.waits is None:
            raise AttributeError("_counts")
        return self.waits.float()

    @property
    def data_initialized(self) -> Tensor:
        """Whether the first codes have come from data, (1,) float."""
        return torch.tensor([self.quantizer.ready], dtype=torch.float32, device=self.quantizer.device)

    @property
    def requires_grad(self) -> bool:
        """Whether the codes learn by gradient."""
        return all(book.codes.requires_grad for book in self.books)

    def set_requires_grad(self, requires_grad: bool) -> None:
        """Let the codes learn by gradient, or not."""
        for book in self.books:
            book.codes.requires_grad_(requires_grad)

    @torch.no_grad()
    def get_codebook(self) -> Tensor:
        """The codes (K, D) that are searched."""
        return torch.cat([book.searched() for book in self.books])

    def get_codebook_affine_params(self) -> tuple[Tensor, Tensor] | None:
        """Scale and bias of the affine map, if there is one."""
        affine = self.affine_transform
        return None if affine is None else affine.get_affine_params()

    # The quantizer --------------------------------------------------------------------------------------------

    @property
    def distinct(self) -> Sequence[VectorQuantizer]:
        """The vector quantizers inside, a shared one once."""
        inner = self.quantizer.distinct if isinstance(self.quantizer, Composite) else [self.quantizer]
        return [part for part in inner if isinstance(part, VectorQuantizer)]

    @property
    def parts(self) -> Sequence[VectorQuantizer]:
        """The vector quantizers inside, in order, a shared one as often as it is used."""
        found = self.distinct
        shared = isinstance(self.quantizer, Composite) and self.quantizer.shared
        return list(found) * (self.groups if shared else 1)

    @property
    def books(self) -> list[Codebook]:
        """The codebooks, a shared one once."""
        return [part.codebook for part in self.distinct]

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        places = [f"quantizer.{place}" for place in places_of(self.quantizer)]
        table = books_table(list(zip(places, self.books, strict=True)), self._names(), deep=self.deep)
        table += random_keys(self.quantizer).under("", "quantizer.")
        table += KeyTable(renamed(f"norm_layer.{key}", f"before.{key}") for key in self.before.state_dict())
        if self.waits is not None:
            rows = len(self.waits)
            table += KeyTable([renamed("_counts", "waits", lambda t: t[:rows].long(), lambda t: t.float())])
        steps = len(self.in_place) if self.in_place is not None else 0
        return table + KeyTable(kept(f"in_place.{n}._extra_state") for n in range(steps))

    def _names(self) -> dict[str, str]:
        """What the original's keys of the parts of a `Table` begin with."""
        return {"affine.": "affine_transform."}

    # The way --------------------------------------------------------------------------------------------------

    def enter(self, z: Tensor) -> Tensor:
        """The input as (..., groups of features, features of a group), normalised."""
        check_input(z, self.feature_size, self.dim)
        return grouped(z, self.before, self.dim, self.feature_size // self.parts[0].features)

    def leave(self, z: Tensor) -> Tensor:
        """The inverse of `enter`, except for the norm."""
        return z.flatten(-2).movedim(-1, self.dim)

    def begin_(self, z: Tensor) -> None:
        """Before the search of a training forward: set the first codes, and let the tables learn from the input."""
        if not self.training:
            return
        rows = z.detach().flatten(-2).reshape(-1, self.feature_size).to(self.quantizer.dtype)
        if not self.quantizer.ready:
            finite = rows.isfinite().all(-1)
            step = self.quantizer._step(finite, z.shape[:-2])
            self.quantizer._init(torch.where(finite[:, None], rows, 0.0), step)
        apart = len(self.books) == z.shape[-2]
        for book, part in zip(self.books, z.unbind(-2) if apart else [z] * len(self.books), strict=True):
            if isinstance(book.transform, Table) and not book.frozen:
                book.transform.begin(part, book.codes)

    def indices_of(self, q: Tensor) -> Tensor:
        """The original's indices (..., parts), in one table, of those of the quantizer."""
        q = q if self.quantizer.index_shape else q.unsqueeze(-1)
        if len(self.books) == 1:
            return q
        return q + self._offsets(q.device)

    def decode(self, q: Tensor) -> Tensor:
        """What forward returned for its info["q"]: features on axis `dim`, in the space of the norm."""
        native = q if len(self.books) == 1 else q - self._offsets(q.device)
        native = native if self.quantizer.index_shape else native.squeeze(-1)
        return self.quantizer.decode(native, dtype=self.quantizer.dtype).movedim(-1, self.dim)

    def _offsets(self, device: torch.device) -> Tensor:
        """The index in the one table of the first code of each codebook."""
        size, count = len(self.books[0].codes), len(self.books)
        return size * torch.arange(count, dtype=torch.int64, device=device)

    def seen_by_books(self, info: Info) -> Iterator[tuple[Codebook, Tensor, Tensor]]:
        """Each codebook with the rows (N, D) that it was searched for, and the indices (N,) found in it."""
        rows, q = info["z"], info["q"]
        if len(self.books) == 1:
            yield self.books[0], rows.flatten(0, -2), q.flatten()
            return
        for number, book in enumerate(self.books):
            own = q[..., number].flatten() - number * len(book.codes)
            yield book, rows[..., number, :].flatten(0, -2), own

    def extra_repr(self) -> str:
        return f"num_codes={self.num_codes}, groups={self.groups}, enabled={self.enabled}"


def places_of(quantizer: Quantizer) -> list[str]:
    """What the keys of the codebooks of a quantizer begin with."""
    if not isinstance(quantizer, Composite):
        return ["codebook."]
    return [f"quantizers.{number}.codebook." for number in range(len(quantizer.distinct))]


def hits_of(q: Tensor, rows: Tensor, num_codes: int) -> Tensor:
    """How often (num_codes,) each index occurs in q (N,), over finite rows (N, features)."""
    counted = rows.detach().isfinite().all(-1).long()
    return torch.zeros(num_codes, dtype=torch.int64, device=q.device).index_add(0, q, counted)


def per_sample(z: Tensor, z_q: Tensor, beta: float) -> Tensor:
    """(1 - beta) |z - sg q|^2 + beta |sg z - q|^2, the mean of each item of the first axis, finite entries only."""
    finite = z.detach().isfinite()
    z, z_q = (torch.where(finite, tensor, 0.0).flatten(1) for tensor in (z, z_q))
    error = (1 - beta) * (z - z_q.detach()).square() + beta * (z.detach() - z_q).square()
    return error.sum(1) / finite.flatten(1).sum(1).clamp_min(1)


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """One value for each item with "none"; with "mean" their mean, 0 of none."""
    return loss if reduction == "none" else loss.sum() / max(1, len(loss))
