"""NeMo's audio codecs without a codebook: groups of finite scalar quantization."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from codeword.checkpoints.importers.library import Library, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, Row, State, dropped, kept
from codeword.quantizers import FSQ, Grouped, Quantizer

__all__ = ["NeMoFSQ"]


@dataclass(frozen=True)
class NeMoFSQ(Library):
    """The quantizer of NeMo's FSQ codecs: `vector_quantizer.fsqs.0.num_levels`, or `.num_levels` without groups.

    Only the levels are kept there; the step of each number in an index follows from them.

    Args:
        dim: the axis of the features: 1, as its models have it.

    Source: the audio codecs of NVIDIA NeMo; FSQ, Mentzer et al. 2023 (arXiv:2309.15505).
    """

    dim: int = 1

    places: ClassVar[tuple[str, ...]] = ("vector_quantizer.", "")

    def build(self, state: State) -> Quantizer:
        if "num_levels" in state:
            return _fsq(state["num_levels"], self.dim)
        only(state, "fsqs.0.num_levels")
        groups = sorted({int(key.split(".")[1]) for key in state if key.startswith("fsqs.")})
        parts = [_fsq(only(state, f"fsqs.{group}.num_levels"), -1) for group in groups]
        return Grouped(parts, dim=self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        if isinstance(quantizer, FSQ):
            return random_keys(quantizer) + _own(quantizer, "") + KeyTable(_rows(quantizer, ""))
        assert isinstance(quantizer, Grouped)
        table = random_keys(quantizer)
        for group, part in enumerate(quantizer.components):
            assert isinstance(part, FSQ)
            table += _own(part, f"quantizers.{group}.") + KeyTable(_rows(part, f"fsqs.{group}."))
        return table


def _fsq(levels: Tensor, dim: int) -> FSQ:
    numbers = tuple(int(level) for level in levels.flatten())
    return FSQ(len(numbers), numbers, dim=dim)


def _own(fsq: FSQ, place: str) -> KeyTable:
    """What only codeword keeps: the use of the codes."""
    return KeyTable([kept(*(f"{place}{key}" for key in fsq.state_dict() if not key.startswith("rng.")))])


def _rows(fsq: FSQ, place: str) -> list[Row]:
    levels = torch.tensor(fsq.levels, dtype=torch.int32, device="cpu")
    steps = torch.cat([torch.ones_like(levels[:1]), levels[:-1].cumprod(0, dtype=torch.int32)])
    return [
        dropped(f"{place}{name}", "the levels, which the quantizer was built from", partial(_shaped, tensor))
        for name, tensor in (("num_levels", levels), ("dim_base_index", steps))
    ]


def _shaped(tensor: Tensor) -> Tensor:
    return tensor[None, :, None]
