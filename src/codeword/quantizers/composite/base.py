"""The base of all quantizers made of quantizers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from codeword.codebooks.learner import Seen
from codeword.codebooks.rng import Rng
from codeword.errors import CodewordError
from codeword.functional import Usage
from codeword.quantizers.assignment import Assignment, Losses, Step, pooled
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_size
from codeword.quantizers.composite.dropout import broadcast_to
from codeword.quantizers.spec.describe import differing
from codeword.quantizers.spec.grammar import Call, parse, write
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["Composite", "are_alike", "check_alike", "check_components", "mean_losses"]


def mean_losses(losses: Sequence[Losses]) -> Losses:
    """The means over components of the loss and of each named one; a loss that a component lacks counts as zero."""
    names = dict.fromkeys(name for _, named in losses for name in named)
    mean = torch.stack([loss for loss, _ in losses]).mean()
    named = {
        name: torch.stack([named[name] for _, named in losses if name in named]).sum() / len(losses)
        for name in names
    }
    return mean, named


class Composite(Quantizer):
    """A quantizer with components: all different, or one shared object, which is stored and saved once.

    Args:
        quantizers: the components, with features on the last axis.
        inner: the size of what the components quantize together; None: the features of each.
        features: size of a vector; None or `inner`: no projections, unless `projected`.
        dim: the axis of the features.
        projected: whether there are projections even if the sizes are equal.
        device: of the projections.
        dtype: of the projections.
    """

    # In a spec these options are its own, others those of its components.
    own_options: ClassVar[tuple[str, ...]] = ("shared", "code_features")
    pool = staticmethod(mean_losses)  # of the components' losses
    dropout: float = 0.0  # the share of items that only the first components see in training

    @classmethod
    def component_features(cls, features: int, count: int) -> int:
        """The features of each of `count` components."""
        return features

    @classmethod
    def _equal_parts(
        cls, name: str, count: int, features: int, codebook_size: int, options: dict[str, Any]
    ) -> tuple[list[VectorQuantizer], dict[str, Any]]:
        """Equal vector quantizers, and the options that are not theirs."""
        check_size(name, count)
        mine = set(cls.own_options) - set(Composite.own_options)
        own = {option: options.pop(option) for option in mine & set(options)}
        width = cls.component_features(features, count)
        return [VectorQuantizer(width, codebook_size, **options) for _ in range(count)], own

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        inner: int | None = None,
        *,
        features: int | None,
        dim: int,
        projected: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        inner = quantizers[0].features if inner is None else inner
        features = inner if features is None else features
        code_features = None if features == inner and not projected else inner
        super().__init__(features, dim=dim, code_features=code_features, device=device, dtype=dtype)
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
        self.index_shape = (self.count, *distinct[0].index_shape)
        for name in ("sync", "index_shape"):
            values = [getattr(child, name) for child in distinct]
            if any(value != values[0] for value in values):
                got, remedy = ", ".join(map(str, values)), "build them all with the same options"
                raise CodewordError.of(f"components with the same {name}", got, remedy)
        self.sync = distinct[0].sync
        self.no_decode = next((child.no_decode for child in distinct if child.no_decode), None)
        self.drops = any(child.drops for child in distinct)
        self.stagewise = any(child.stagewise for child in distinct)
        if any(child.rng is not None for child in distinct):
            self.rng = Rng(device)

    @property
    def distinct(self) -> list[Quantizer]:
        """The components, a shared one once."""
        return list(self.quantizers)  # type: ignore[arg-type]

    @property
    def components(self) -> list[Quantizer]:
        """The components in order, a shared one as often as it is used."""
        return self.distinct * (self.count if self.shared else 1)

    @property
    def spec(self) -> str:
        inner = [parse(child.spec) for child in self.components]
        settings = list(differing(type(self), self.options()))
        if self.features != self.code_features:
            settings.insert(0, ("code_features", self.code_features))
        if self.shared:
            settings.insert(0, ("shared", True))
        if any(component != inner[0] for component in inner):
            return write(Call(self.spec_name, (), (), tuple(settings), tuple(inner)))
        plain = inner[0].name == "vq" and not inner[0].settings
        sizes = (self.count, *inner[0].sizes) if plain else (self.count,)
        return write(Call(self.spec_name, sizes, (), tuple(settings), () if plain else (inner[0],)))

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return tuple(size for child in self.components for size in child.codebook_sizes)

    @property
    def _index_counts(self) -> Collection[int]:
        """The allowed numbers of components in the indices of a vector."""
        return (self.count,)

    @property
    def ready(self) -> bool:
        return all(child.ready for child in self.distinct)

    @property
    def device(self) -> torch.device:
        return self.distinct[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.distinct[0].dtype

    @property
    def trained_by_output(self) -> bool:
        return self.project_in is not None or any(child.trained_by_output for child in self.distinct)

    @property
    def random(self) -> bool:
        return self.dropout > 0 or any(child.random for child in self.distinct)

    def usage(self) -> Usage:
        """The use of each component: fields of shape (components, ...), or those of the one that is shared."""
        if self.shared:
            return self.distinct[0].usage()
        usages = [child.usage() for child in self.components]
        if len({used.dead.shape for used in usages}) > 1:
            raise CodewordError.of(
                "components that count their use alike",
                f"{', '.join(child.spec for child in self.components)}: of some by code, of others by place",
                "call usage() of each of `quantizers`",
            )
        return Usage(*(torch.stack(field) for field in zip(*usages, strict=True)))

    def reset_usage(self) -> None:
        for child in self.distinct:
            child.reset_usage()

    def _seen(self, assignment: Assignment) -> list[Seen]:
        if self.stagewise:  # each component has learned by itself
            return []
        if self.shared and len(assignment.components) > 1:
            return self.distinct[0]._seen(pooled(assignment.components, assignment.step))
        return [
            seen
            for child, own in zip(self.components, assignment.components, strict=False)
            for seen in child._seen(own)
        ]

    def _drop(self, assignment: Assignment) -> Assignment:
        dropped = zip(self.components, assignment.components, strict=False)
        components = tuple(child._drop(own) if child.drops else own for child, own in dropped)
        return self._joined(components, assignment.rows, assignment.step)

    def _use_dropout(self, dropout: float) -> None:
        """Let training keep only the first components for a share of the items."""
        if not 0 <= dropout <= 1:
            raise CodewordError.of("dropout from 0 to 1", repr(dropout), "pass the share of items")
        self.dropout = dropout
        self.drops = self.drops or dropout > 0
        if dropout and self.rng is None:
            self.rng = Rng(self.device)

    def _keep_first(self, assignment: Assignment, kept: Tensor) -> Assignment:
        """The assignment with index -1 for all but the first `kept` (N,) components of each row."""
        indices = assignment.indices
        number = torch.arange(indices.shape[1], dtype=torch.int64, device=kept.device)
        indices = torch.where(broadcast_to(number < kept[:, None], indices), indices, -1)
        parts = zip(assignment.components, self._split(indices), strict=True)
        components = tuple(own._replace(indices=index) for own, index in parts)
        return assignment._replace(indices=indices, components=components)

    def _check_indices(self, indices: Tensor) -> None:
        """Raise unless there is an index for each component; each checks the axes of its own."""
        axis = indices.ndim - len(self.index_shape)
        if axis < 0 or indices.shape[axis] not in self._index_counts:
            raise CodewordError.of(
                f"indices (..., {', '.join(map(str, self.index_shape))})",
                f"shape {tuple(indices.shape)}",
                "pass what encode returned",
            )
        for child, part in zip(self.components, indices.unbind(axis), strict=False):
            child._check_indices(part)

    # Indices of the components -----------------------------------------------------------------------------------

    def _split(self, indices: Tensor) -> Sequence[Tensor]:
        """The indices of each component; only of the first ones if there are fewer."""
        return indices.unbind(1)

    def _join(self, indices: Sequence[Tensor]) -> Tensor:
        """The inverse of `_split`."""
        return torch.stack(list(indices), 1)

    def _each(self, indices: Tensor) -> Iterator[tuple[Quantizer, Tensor]]:
        """The components that have indices, with their indices."""
        return zip(self.components, self._split(indices), strict=False)

    def _joined(self, components: tuple[Assignment, ...], rows: Tensor, step: Step) -> Assignment:
        indices = self._join([own.indices for own in components])
        return Assignment(indices, rows, step, components=components)


def check_components(quantizers: Sequence[Quantizer]) -> None:
    """Raise unless there are components, and quantizers with features on the last axis."""
    if not isinstance(quantizers, Sequence) or not quantizers:
        raise CodewordError.of(
            "a sequence of quantizers", repr(quantizers), "write [VectorQuantizer(64, 256), ...]"
        )
    for child in quantizers:
        if not isinstance(child, Quantizer):
            raise CodewordError.of("quantizers", repr(child), "pass objects such as VectorQuantizer(64, 256)")
        if child.dim != -1:
            raise CodewordError.of(
                "components with their features on the last axis",
                f"dim={child.dim}",
                "give dim to the outermost",
            )
        if child.map_size:
            raise CodewordError.of(
                "components that take vectors one by one",
                f"{child.spec}, which takes maps of size {child.map_size}",
                "give it the quantizers to combine as its scales",
            )


def check_alike(quantizers: Sequence[Quantizer]) -> None:
    """Raise unless components have one width and take the same options at a call."""
    check_components(quantizers)
    if len({(child.features, child.call_options) for child in quantizers}) > 1:
        got = ", ".join(f"{child.spec} of {child.features} features" for child in quantizers)
        raise CodewordError.of("components of one width and kind", got, "build them with the same options")


def are_alike(quantizers: Sequence[Quantizer]) -> bool:
    """Whether the losses and surrogates of all can be computed in one call."""
    key = quantizers[0].batch_key
    return key is not None and all(child.batch_key == key for child in quantizers)
