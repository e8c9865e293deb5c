"""What all quantizers made of quantizers have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.functional import Usage, Valid
from codeword.quantizers.base import Quantizer
from codeword.quantizers.spec.describe import differing
from codeword.quantizers.spec.grammar import Call, parse, write
from codeword.quantizers.statistics import Kept, Statistics

__all__ = ["Composite", "check_alike", "check_parts", "mean_losses", "repeated"]


class Composite(Quantizer):
    """A quantizer made of others, all different or one and the same object: then it is kept, and saved, once.

    Args:
        quantizers: the parts, with features on the last axis.
        inner: the width of what the parts quantize together.
        features: size of a vector; None or `inner`: no projections.
        dim: the axis of the features.
    """

    size_names: ClassVar[tuple[str, ...]] = ()  # what is inside is its size
    own_options: ClassVar[tuple[str, ...]] = (
        "shared",
        "code_features",
    )  # in a spec; the others are its parts'

    @classmethod
    def part_features(cls, features: int, count: int) -> int:
        """The features of each of `count` parts."""
        return features

    def __init__(self, quantizers: Sequence[Quantizer], inner: int, features: int | None, dim: int) -> None:
        features = inner if features is None else features
        super().__init__(features, dim=dim, code_features=None if features == inner else inner)
        distinct = list({id(child): child for child in quantizers}.values())
        self.count = len(quantizers)
        self.shared = len(distinct) == 1 and self.count > 1
        if not self.shared and len(distinct) != self.count:
            raise CodewordError.of(
                "quantizers that are all different, or one for all",
                f"{len(distinct)} different ones in {self.count} places",
                "repeat all of them or none",
            )
        self.quantizers = nn.ModuleList(distinct)
        first = distinct[0]
        self.index_shape = (self.count, *first.index_shape)
        for name in ("sync", "gathers_first", "index_shape"):
            _agree(name, distinct)
        self.sync = first.sync
        self.gathers_first = first.gathers_first
        self.no_decode = next((child.no_decode for child in distinct if child.no_decode), None)
        self.drops = any(child.drops for child in distinct)
        self.stagewise = any(child.stagewise for child in distinct)

    @property
    def distinct(self) -> list[Quantizer]:
        """The parts, a shared one once."""
        return [child for child in self.quantizers if isinstance(child, Quantizer)]

    @property
    def parts(self) -> list[Quantizer]:
        """The parts in order, a shared one as often as it is used."""
        return self.distinct * (self.count if self.shared else 1)

    @property
    def spec(self) -> str:
        inner = [parse(child.spec) for child in self.parts]
        settings = list(differing(type(self), self.options()))
        if self.project_in is not None:
            settings.insert(0, ("code_features", self.code_features))
        if self.shared:
            settings.insert(0, ("shared", True))
        if any(part != inner[0] for part in inner):
            return write(Call(self.spec_name, (), (), tuple(settings), tuple(inner)))
        plain = inner[0].name == "vq" and not inner[0].settings
        sizes = (self.count, *inner[0].sizes) if plain else (self.count,)
        return write(Call(self.spec_name, sizes, (), tuple(settings), () if plain else (inner[0],)))

    def options(self) -> dict[str, Any]:
        return {}

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return tuple(size for child in self.parts for size in child.codebook_sizes)

    @property
    def ready(self) -> bool:
        return all(child.ready for child in self.parts)

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.parts[0].dtype

    @property
    def trained_by_output(self) -> bool:
        return self.project_in is not None or any(child.trained_by_output for child in self.parts)

    @torch.no_grad()
    def look_up(self, rows: Tensor) -> Tensor:
        return self.search(rows)

    def keep(self, indices: Tensor) -> Kept:
        return tuple(child.keep(index) for child, index in self.each(indices))

    def drop(self, indices: Tensor, items: Tensor) -> Tensor:
        dropped = []
        for number, (child, index) in enumerate(self.each(indices)):
            own = items[:, None].expand(-1, self.times(number)).reshape(-1)
            dropped.append(child.drop(index, own))
        return self.join(dropped)

    def revive_(self) -> None:
        for child in self.distinct:
            child.revive_()

    def merge(self, old: Any, new: Any, valid: Valid) -> Statistics:
        merged = []
        for child, earlier, later in zip_longest(self.distinct, old, new):
            one = earlier if later is None else later  # a stage may have been left out of either
            merged.append(one if earlier is None or later is None else child.merge(earlier, later, valid))
        return tuple(merged)

    def update_(self, statistics: tuple[Any, ...]) -> None:
        for child, seen in zip(self.distinct, statistics, strict=False):  # fewer, when fewer stages were used
            if seen is not None:
                child.update_(seen)

    def usage(self) -> Usage:
        """The use of each part: fields of shape (parts, ...), or those of the one part that is shared."""
        if self.shared:
            return self.parts[0].usage()
        usages = [child.usage() for child in self.parts]
        return Usage(*(torch.stack(field) for field in zip(*usages, strict=True)))

    def reset_usage(self) -> None:
        for child in self.distinct:
            child.reset_usage()

    def check_indices(self, indices: Tensor) -> None:
        self.check_index_shape(indices)
        axis = indices.ndim - len(self.index_shape)
        for child, part in zip(self.parts, indices.unbind(axis), strict=False):
            child.check_indices(part)

    def check_index_shape(self, indices: Tensor) -> None:
        """Raise unless the trailing axes are `index_shape`."""
        own = len(self.index_shape)
        if indices.ndim < own or indices.shape[indices.ndim - own :] != self.index_shape:
            raise CodewordError.of(
                f"indices (..., {', '.join(map(str, self.index_shape))})",
                f"shape {tuple(indices.shape)}",
                "pass what encode returned",
            )

    # What the parts see --------------------------------------------------------------------------------------

    def fork(self, indices: Tensor) -> Sequence[Tensor]:
        """The indices of each part, of the first ones alone where there are fewer."""
        return indices.unbind(1)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The inverse of `fork`."""
        return torch.stack(list(parts), 1)

    def each(self, indices: Tensor) -> Iterator[tuple[Quantizer, Tensor]]:
        """The parts that have indices, with them."""
        return zip(self.parts, self.fork(indices), strict=False)

    def times(self, number: int) -> int:
        """How many rows of a part there are for one of the whole."""
        return 1

    def seen(self, valid: Valid, number: int) -> Valid:
        """Which rows of a part count."""
        times = self.times(number)
        return valid if times == 1 else repeated(valid, times)

    def extra_repr(self) -> str:
        shared = f", {self.count} times the same" if self.shared else ""
        return f"features={self.features}, dim={self.dim}{shared}"


def check_parts(quantizers: Sequence[Quantizer]) -> None:
    """Raise unless there are parts, and quantizers with features on the last axis."""
    if not isinstance(quantizers, Sequence) or not quantizers:
        raise CodewordError.of(
            "a sequence of quantizers", repr(quantizers), "write [VectorQuantizer(64, 256), ...]"
        )
    for child in quantizers:
        if not isinstance(child, Quantizer):
            raise CodewordError.of("quantizers", repr(child), "pass objects such as VectorQuantizer(64, 256)")
        if child.dim != -1:
            raise CodewordError.of(
                "parts with their features on the last axis", f"dim={child.dim}", "give dim to the outermost"
            )
        if child.map_size:
            raise CodewordError.of(
                "parts that take vectors one by one",
                f"{child.spec}, which takes maps of size {child.map_size}",
                "give it the quantizers to combine as its scales",
            )


def check_alike(quantizers: Sequence[Quantizer]) -> None:
    """Raise unless parts have one width and can be told the same at each call."""
    if len({(child.features, child.choices) for child in quantizers}) > 1:
        got = ", ".join(f"{child.spec} of {child.features} features" for child in quantizers)
        raise CodewordError.of("parts of one width and kind", got, "build them one way")


def repeated(valid: Valid, times: int) -> Valid:
    """For rows that each stand `times` in a row: `times` as many rows, in the same order on all ranks."""
    mask = valid.mask[:, None].expand(-1, times).reshape(-1)
    held, start, total, before = (
        count * times for count in (valid.held, valid.start, valid.total, valid.before)
    )
    return Valid(mask, mask.cumsum(0), held, start, total, valid.shared, before)


def mean_losses(
    losses: Sequence[tuple[Tensor, dict[str, Tensor]]], count: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean over parts of the losses and of each named one; what a part does not have counts as zero."""
    names = dict.fromkeys(name for _, named in losses for name in named)
    mean = torch.stack([loss for loss, _ in losses]).sum() / count
    named = {
        name: torch.stack([named[name] for _, named in losses if name in named]).sum() / count
        for name in names
    }
    return mean, named


def _agree(name: str, quantizers: Sequence[Quantizer]) -> None:
    values = [getattr(child, name) for child in quantizers]
    if any(value != values[0] for value in values):
        raise CodewordError.of(
            f"parts with the same {name}", ", ".join(map(str, values)), "build them all one way"
        )
