"""Groups of residual stages, which all quantizers of sequences share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from codeword import distributed
from codeword.checkpoints.importers import KeyTable
from codeword.checkpoints.importers.quantizer_pytorch import QuantizerPyTorch
from codeword.checkpoints.importers.sequences import rule_of, sequence_quantizer, stacks_of
from codeword.codebooks import Codebook
from codeword.compat.old_codes import OldCodes, forward_of_old_codes
from codeword.compat.quantizer_pytorch.common import check_sequence, perplexities, views
from codeword.compat.quantizer_pytorch.options import THRESHOLDS, Options, Sizes
from codeword.compat.state import Facade
from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.quantizers.layouts import Layout

__all__ = ["Stages"]


class Stages(Facade):
    """Groups of residual stages over (batch, channels, length), with the results of the original.

    In eval all results are those of `quantizer`. In training the stages are called one by one: only the loss of the
    first stage has a gradient, as in the original, and expired codes are replaced after each stage.

    Args:
        sizes, options: see there.
        prints_budget: whether the document prints `budget` in `info`: else it is there only for those who ask for the
            rule, or load a state with budgets.
    """

    hidden = ""  # what the importers' keys begin with and this class's do not

    def __init__(self, sizes: Sizes, options: Options, *, prints_budget: bool) -> None:
        super().__init__()
        self.sizes = sizes
        self.options = options
        self.num_groups = sizes.groups
        self.num_residuals = sizes.stages
        self.rule = options.first_rule()
        self.prints_budget = prints_budget or options.rule == "budget"
        with torch.random.fork_rng(devices=[]):
            self.quantizer = self._build()
        for stage in range(sizes.stages):
            books = self._books(stage)
            first = books[0].codes
            # All draw, shared or not, so that a seed gives the original's codes.
            codes = torch.randn(len(books), *first.shape, dtype=first.dtype, device=first.device)
            if not stage or not options.shared_codebook:
                for book, table in zip(books, codes, strict=True):
                    book.init_from_(table)

    @property
    def expire_threshold(self) -> float:
        """A code below this is replaced; 0: never."""
        given = self.options.expire_threshold
        return THRESHOLDS[self.rule] if given is None else given

    @property
    def quantize(self) -> SimpleNamespace:
        """The original's inner layers, to read: `quantize.quantizers[0].codebooks` and so on."""
        attributes = {
            "num_heads": len(stacks_of(self.quantizer)),
            "head_features": stacks_of(self.quantizer)[0].features,
            "codebook_size": self.sizes.codebook_size,
            "expire_threshold": self.expire_threshold,
            "ema_decay": self.options.ema_decay,
        }
        place = "quantize.quantizers.{}.".removeprefix(self.hidden)
        layers = views(self, place, self.num_residuals, **attributes)
        return SimpleNamespace(num_residuals=self.num_residuals, quantizers=layers)

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        table = QuantizerPyTorch().table(self.quantizer).under("", "quantizer.")
        return KeyTable(
            replace(row, foreign=tuple(key.removeprefix(self.hidden) for key in row.foreign))
            for row in table.rows
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self._follow_([key for key in state_dict if key.startswith(prefix)])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _follow_(self, keys: list[str]) -> None:
        """Take the rule that a state dictionary is of, be it the original's or this class's own."""
        budget = any(key.endswith(("budget_ema", ".budget")) for key in keys)
        counts = any(key.endswith(("ema_cluster_size", ".cluster_size")) for key in keys)
        self.prints_budget |= any(key.endswith("budget_ema") for key in keys)
        rule = "budget" if budget else "ema" if counts else self.rule
        if rule != self.rule:
            old, self.rule = self.quantizer, rule
            with torch.random.fork_rng(devices=[]):
                self.quantizer = self._build().to(old.device, old.dtype).train(self.training)

    def run(self, x: Tensor, num_residuals: int | None = None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The output, the indices (..., groups of codes, stages) of the pieces, and the rest of info."""
        stages = self._count(num_residuals)
        check_sequence(x, self.sizes.channels, self.sizes.split)
        if self.training:
            quantized, indices, loss, replaced = self._learn(x, stages)
        else:
            out = self.quantizer(x, stages=stages)
            quantized, loss = out.quantized, out.loss
            native = self.quantizer
            indices = native.disarrange(out.indices) if isinstance(native, Layout) else out.indices
            indices = indices if len(stacks_of(native)) > 1 else indices.unsqueeze(-2)
            replaced = torch.zeros(indices.shape[-2:], dtype=torch.int64, device=x.device)
        info = {
            "loss": loss,
            "perplexity": perplexities(indices.flatten(-2), self.sizes.codebook_size),
            "replaced_codes": replaced.flatten(),
        }
        if self.rule == "budget" and self.prints_budget:
            books = [book for stage in range(stages) for book in self._books(stage)]
            info["budget"] = torch.stack([book.state()["budget"] for book in books])
        return quantized, indices, info

    def decode(self, indices: Tensor, num_residuals: int | None = None) -> Tensor:
        """The output of indices in the order of `quantizer`, by their first stages."""
        held = self._count(indices.shape[-1])
        stages = held if num_residuals is None else min(held, self._count(num_residuals))
        whole = torch.nn.functional.pad(indices, (0, self.num_residuals - held))
        return self.quantizer.decode(whole, dtype=self.quantizer.dtype, stages=stages)

    def _count(self, num_residuals: int | None) -> int:
        count = self.num_residuals if num_residuals is None else num_residuals
        if not 1 <= count <= self.num_residuals:
            raise CodewordError.of(
                f"num_residuals from 1 to {self.num_residuals}", repr(count), "pass how many are to be used"
            )
        return count

    def _build(self) -> Quantizer:
        if self.rule == "budget" and self.expire_threshold >= 1:
            raise CodewordError.of(
                "expire_threshold below 1, the mean budget", repr(self.expire_threshold), "pass 0.05 or so"
            )
        return sequence_quantizer(
            self.sizes.layout,
            self.sizes.channels,
            self.sizes.split,
            self.sizes.groups,
            codebook_size=self.sizes.codebook_size,
            stages=self.sizes.stages,
            shared=self.options.shared_codebook and self.sizes.stages > 1,
            rule=rule_of(self.rule == "budget", self.options.ema_decay, self.expire_threshold),
            cls=OldCodes,
        )

    def _layers(self, stage: int) -> list[VectorQuantizer]:
        """The quantizer of each group at a stage."""
        found = [stack.components[stage] for stack in stacks_of(self.quantizer)]
        return [layer for layer in found if isinstance(layer, VectorQuantizer)]

    def _books(self, stage: int) -> list[Codebook]:
        return [layer.codebook for layer in self._layers(stage)]

    # Training -------------------------------------------------------------------------------------------------

    def _learn(self, x: Tensor, stages: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        layout = self.quantizer if isinstance(self.quantizer, Layout) else None
        wide = x.to(torch.promote_types(x.dtype, self.quantizer.dtype))
        pieces = layout.to_pieces(wide) if layout else wide.movedim(1, -1)
        rest = list(pieces.chunk(len(stacks_of(self.quantizer)), -1))
        indices, losses, replaced = [], [], []
        total: list[Tensor] = []
        for stage in range(stages):
            layers = self._layers(stage)
            with self._per_sample(stage, x), forward_of_old_codes(self.quantizer):
                outs = [layer(part) for layer, part in zip(layers, rest, strict=True)]
            replaced.append(self._expire_(stage, rest))
            indices.append(torch.stack([out.indices for out in outs], -1))
            losses += [out.loss for out in outs]
            passed = [out.quantized for out in outs]
            total = [a + b for a, b in zip(total, passed, strict=True)] if total else passed
            # The gradients of the residuals cancel: later stages have no gradient, and that of the sum passes once.
            rest = [part - out for part, out in zip(rest, passed, strict=True)]
        joined = torch.cat(total, -1)
        quantized = (layout.from_pieces(joined) if layout else joined.movedim(-1, 1)).to(x.dtype)
        return quantized, torch.stack(indices, -1), torch.stack(losses).mean(), torch.stack(replaced, -1)

    @contextmanager
    def _per_sample(self, stage: int, x: Tensor) -> Iterator[None]:
        """Counts are means over the samples of the batch. During the update they are sums."""
        if self.rule != "ema":
            yield
            return
        samples = distributed.sum_(torch.full((), len(x), dtype=torch.float32, device=x.device)).clamp_min(1)
        state = [value for book in self._books(stage) for value in book.state().values()]
        for value in state:
            value.mul_(samples)
        try:
            yield
        finally:
            for value in state:
                value.div_(samples)

    @torch.no_grad()
    def _expire_(self, stage: int, rest: list[Tensor]) -> Tensor:
        """Replace expired codes by rows of the batch, drawn by torch's generator as the original draws them.

        Returns how many were replaced, for each group.
        """
        books = self._books(stage)
        replaced = torch.zeros(len(books), dtype=torch.int64, device=rest[0].device)
        memory = [book.state()["budget" if self.rule == "budget" else "cluster_size"] for book in books]
        expired = [
            (value < self.expire_threshold) & (not book.frozen)
            for book, value in zip(books, memory, strict=True)
        ]
        if self.expire_threshold <= 0 or not any(bool(which.any()) for which in expired):
            return replaced
        for group, (book, part, which) in enumerate(zip(books, rest, expired, strict=True)):
            rows = part.detach().flatten(0, -2).to(book.codes.dtype)
            valid = Valid.of(rows.isfinite().all(-1), sync=True)
            drawn = _draw(int(which.sum()), int(valid.total), rows.device)
            if not len(drawn):
                continue
            if valid.shared:
                distributed.broadcast_(drawn)
            replaced[group] = len(drawn)
            book.replace_(which, valid.take_from_all(rows, drawn), replaced[group])
            book.has_candidates = False  # those of its candidates that wait would come on top
            if self.rule == "budget":  # at the expense of the others
                memory[group].mul_(len(which) / memory[group].sum())
        return replaced


def _draw(count: int, total: int, device: torch.device) -> Tensor:
    """`count` of `total` numbers, as the original draws them: none twice, if there are enough."""
    if 0 < total < count:
        return torch.randint(total, (count,), dtype=torch.int64, device=device)
    return torch.randperm(total, dtype=torch.int64, device=device)[:count]
