"""QINCo: residual quantization with codebooks that depend on the sum of the stages before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codeword.functional import Prepared, prepare, search, squared_error, sum_of
from codeword.functional.blocked import split_rows
from codeword.quantizers.assignment import Assignment, Evaluated, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_size
from codeword.quantizers.composite.base import Composite, mean_losses
from codeword.quantizers.composite.beam import codes_of, of_beams
from codeword.quantizers.composite.implicit_codes import ImplicitCodes
from codeword.quantizers.composite.residual import Residual
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["QINCo"]

_NUMBERS = 2**20  # at once: 4 MiB in float32


class QINCo(Residual):
    """A residual stack with networks: they compute the codes from plain codes and the sum of the stages before.

    C_m are the plain codes of stage m, and s_(m-1) is the sum of the codes chosen before. The codes of stage m are
    f_m(c, s_(m-1)) for c in C_m: c plus the output of a small network, which starts at zero. It is a product of
    features of c and of features of s_(m-1), so a candidate costs little more than a plain code. The first stage uses
    its plain codes. Stage m computes only the codes of the `candidates` plain codes nearest to the residual, and takes
    the nearest of these. Plain codes learn as in `Residual`.

    The networks learn by gradient from `loss`, whose term `network` is the mean over stages m of |sg x - s_m|^2: give
    their parameters to your optimiser. The encoder gets the gradient that `Residual` gives it. `codeword.fit` trains
    all of it on vectors, with an optimiser of its own.

    Args:
        quantizers: vector quantizers with the Euclidean metric and without projections; one for each stage.
        features: size of a vector, if it is not that of the stages; then learned projections are added.
        dim: the axis of the features.
        hidden: width of the networks.
        blocks: residual blocks of a network.
        candidates: how many codes of a stage are computed for each partial sum.
        device: of the networks and projections.
        dtype: of the projections; the networks have float32 or wider.

    A call accepts `stages` and `beam`, as for `Residual`.

    Raises:
        CodewordError: no quantizers, or ones that do not fit together; a size below 1.

    Source: QINCo, Huijben et al. 2024 (arXiv:2401.14732); pre-selection and beams QINCo2, Vallaeys et al. 2025
    (arXiv:2501.03078), which has codes of their own for the pre-selection. Their networks
    take c and s_(m-1) together, and run for each candidate.

    Examples:
        >>> from codeword import from_spec
        >>> qinco = from_spec("qinco3x16,hidden=32", features=8)
        >>> out = qinco(torch.randn(2, 10, 8))
        >>> out.indices.shape, list(out.losses)
        (torch.Size([2, 10, 3]), ['commitment', 'network'])
        >>> bool((qinco.decode(out.indices) == out.quantized).all())
        True
    """

    spec_name = "qinco"
    own_options = (*Composite.own_options, "hidden", "blocks", "candidates")
    _losses_in_one_call = False

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        *,
        features: int | None = None,
        dim: int = -1,
        hidden: int = 128,
        blocks: int = 2,
        candidates: int = 8,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(quantizers, features=features, dim=dim, device=device, dtype=dtype)
        for name, size in (("hidden", hidden), ("blocks", blocks), ("candidates", candidates)):
            check_size(name, size)
        for child in quantizers:
            codes_of(child)
        self.hidden, self.blocks, self.candidates = hidden, blocks, candidates
        inner = quantizers[0].features
        self.networks = nn.ModuleList(
            ImplicitCodes(inner, hidden, blocks, device=device, dtype=dtype) for _ in quantizers[1:]
        )

    def partial_sums(self, indices: Tensor) -> list[Tensor]:
        """The sums (N, code_features) of the first, the first two, ... codes of indices (N, stages), with gradients."""
        sums: list[Tensor] = []
        for number, index in enumerate(self._split(indices)):
            codes = self._made(number, index, sums[-1] if sums else None)
            sums.append(sums[-1] + codes if sums else codes)
        return sums

    def _made(self, number: int, index: Tensor, sums: Tensor | None) -> Tensor:
        """The codes of a stage for sums (..., D) of those before; index may have one more axis, of candidates."""
        if sums is None:
            return self._books[number][index]
        sums = sums if sums.ndim > index.ndim else sums[..., None, :]
        codes: Tensor = self.networks[number - 1](index, sums, self._books[number], self._books[0])
        return codes

    @property
    def _books(self) -> list[Tensor]:
        return [child.codebook.codes for child in self.components if isinstance(child, VectorQuantizer)]

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        used = self._used(step)
        prepared = [prepare(codes) for codes in self._books[:used]]
        beam = step.beam or 1
        block = max(1, _NUMBERS // (beam * self.candidates * max(self.hidden, rows.shape[1])))
        indices = torch.cat([self._search(part, prepared, beam) for part in split_rows(rows, block)])
        sums = [torch.zeros_like(rows), *self.partial_sums(indices)]
        components = tuple(
            Assignment(index, rows - before, step.component(number))
            for number, (index, before) in enumerate(zip(self._split(indices), sums, strict=False))
        )
        return self._joined(components, rows, step)

    def _search(self, rows: Tensor, prepared: Sequence[Prepared], beam: int) -> Tensor:
        """The indices (N, stages) of the best of `beam` partial sums."""
        sums = torch.zeros_like(rows)[:, None]  # (N, beams, D)
        paths = rows.new_zeros(rows.shape[0], 1, 0, dtype=torch.int64)
        for number, ready in enumerate(prepared):
            residual = rows[:, None] - sums
            count = min(self.candidates if number else beam, len(self._books[number]))
            index = search(residual.flatten(0, 1), ready, count).view(*residual.shape[:2], count)
            made = self._made(number, index, sums if number else None)
            errors = (residual[:, :, None] - made).square().sum(-1).flatten(1)
            best = errors.topk(min(beam, errors.shape[1]), largest=False).indices
            source, chosen = best // count, index.flatten(1).gather(1, best)
            paths = torch.cat([of_beams(paths, source), chosen[..., None]], 2)
            sums = of_beams(sums, source) + of_beams(made.flatten(1, 2), best)
        return paths[:, 0]

    def _embed(self, indices: Tensor) -> Tensor:
        return self.partial_sums(indices)[-1]

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        sums = self.partial_sums(assignment.indices)
        befores = [torch.zeros_like(rows), *sums]
        parts = zip(self.components, assignment.components, befores, sums, strict=False)
        loss, losses = mean_losses(
            [
                child._losses(own, rows - before.detach(), after - before.detach(), own.step)
                for child, own, before, after in parts
            ]
        )
        weights = step.valid.weights(rows.dtype)
        network = sum_of([squared_error(total, rows.detach(), weights) for total in sums]) / len(sums)
        return sums[-1].detach(), loss + network, {**losses, "network": network}

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        return self.components[0]._surrogate(assignment.components[0], rows, q, step)
