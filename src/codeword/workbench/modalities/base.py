"""Everything that is specific to a kind of data; the rest of the workbench is the same for all kinds."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.tokenizers import Tokenizer
from codeword.workbench.config import TrainConfig
from codeword.workbench.critic import Critic
from codeword.workbench.data import Skipped
from codeword.workbench.data.item_cache import ItemCache, shapes_of
from codeword.workbench.folders import file_names, whole_folder

__all__ = ["Batches", "Items", "Metric", "Modality", "Panel", "Source", "Stream", "hold_out"]

Items = Sequence[tuple[str, Any]]  # names and arrays
Item = TypeVar("Item")
SHARE, MOST = 10, 64  # one item in ten is held out, 64 at most, because a run measures them several times


class Metric(NamedTuple):
    """A measure of quality or cost."""

    key: str
    """In files: `psnr`."""
    heading: str
    """In tables: `PSNR dB`."""
    decimals: int
    higher_is_better: bool = True


class Panel(NamedTuple):
    """A drawing."""

    label: str
    draw: Callable[[Any], None]
    """On axes of matplotlib."""


class Stream(Protocol):
    """A stream of items, each read when it is needed. Unusable ones are skipped, and reported."""

    @property
    def names(self) -> Sequence[str]:
        """The names of all items, including unusable ones."""

    @property
    def skipped(self) -> list[Skipped]:
        """The items that the latest iteration has skipped so far, and the reasons."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[str, Any]]: ...


class Batches(Protocol):
    """The training batches of a run, which depend only on the seed and the step."""

    def batch(self, step: int) -> Tensor:
        """The batch of a step, on the CPU."""


class Source(NamedTuple):
    """The training part and the held-out part of the data of a run."""

    training: Any
    """Sized; what `Modality.batches` takes."""
    held_out: Items
    skipped: list[Skipped]
    fingerprint: str
    """A short digest of the training data. A resumed run needs the same data to give the same bits."""

    @classmethod
    def of_files(cls, stream: Callable[[Sequence[str] | None], Stream]) -> Source:
        """The source of a stream, of some names or of all; one item in ten is held out."""
        items = ItemCache(stream)
        kept, held = hold_out(list(range(len(items))))
        return cls.of(items.part(kept), list(items.part(held)), items.skipped)

    @classmethod
    def of(cls, training: Items, held_out: Items, skipped: Sequence[Skipped] = ()) -> Source:
        """The source of items in memory; names and sizes determine the fingerprint."""
        names = training.names if isinstance(training, ItemCache) else [name for name, _ in training]
        shapes = [(name, *shape) for name, shape in zip(names, shapes_of(training), strict=True)]
        fingerprint = hashlib.sha256(repr(shapes).encode()).hexdigest()
        return cls(training, held_out, list(skipped), fingerprint)


class Modality(ABC):
    """One kind of data: how it is found, batched, measured and written.

    An object belongs to one run or tokenizer; its constructor takes what differs between these, such as the sample rate
    of sounds.
    """

    kind: ClassVar[str]
    """Its name in tokenizers and token files."""
    items: ClassVar[str]
    """The plural for items in messages: `pictures`. Each item has a name and a row of a token file."""
    metrics: ClassVar[tuple[Metric, ...]]
    """Metrics of an item and its reconstruction. The first measures quality during training, the second the cost."""
    drawn: ClassVar[str]
    """The caption of the picture of a run: `originals above ...`."""
    footnote: ClassVar[str] = ""
    """The footnote for a star after the last figure; see `starred`."""
    dtype: ClassVar[str] = "float32"
    """The type of an item, and of a reconstruction when it is measured."""
    suffix: ClassVar[str]
    """Of the files that `decode` writes."""
    together: ClassVar[int] = 1
    """How many items are encoded at once: more than one if all have one size and the tokens of an item do not depend on
    its batch.
    """
    room: ClassVar[int | None] = None
    """The most positions of the input (pixels) in a batch on a CPU. In larger batches the activations exceed the
    caches, and each item takes longer than alone. None: no limit.
    """
    unused: ClassVar[Mapping[str, Any]] = {}
    """The settings that have no meaning for this kind, at their neutral values."""

    @classmethod
    @abstractmethod
    def holds(cls, data: str) -> bool:
        """Whether there are files of this kind at a path."""

    @classmethod
    @abstractmethod
    def of_data(cls, data: str, config: TrainConfig) -> Modality:
        """The modality of training data."""

    @classmethod
    @abstractmethod
    def of_tokenizer(cls, tokenizer: Any) -> Modality:
        """The modality for the input of a tokenizer of this kind."""

    @abstractmethod
    def stream(self, data: str, stride: int, names: Sequence[str] | None = None) -> Stream:
        """The items at a path, or some of them by name, except those smaller than one position of `stride`."""

    @abstractmethod
    def source(self, data: str, config: TrainConfig) -> Source:
        """The items at a path, divided into training and held-out parts."""

    @abstractmethod
    def batches(self, training: Any, config: TrainConfig) -> Batches:
        """The batches from the training part of a source."""

    @abstractmethod
    def build(self, config: TrainConfig) -> Tokenizer:
        """A fresh tokenizer, drawn from torch's generator."""

    @abstractmethod
    def objective(self, tokenizer: Tokenizer, critic: Critic | None = None) -> nn.Module:
        """The objective as one module: from a batch to the loss, and the error that `quality` converts."""

    def critic(self, config: TrainConfig) -> Critic | None:
        """The discriminator of a run, drawn from torch's generator."""
        return None

    @abstractmethod
    def quality(self, error: float) -> float:
        """The first metric, from the mean error of training batches."""

    @abstractmethod
    def to_batch(self, item: Any) -> Tensor:
        """An item as a batch of one, on the CPU."""

    @abstractmethod
    def true_size(self, item: Any) -> tuple[int, ...]:
        """The size of an item in token files: height and width, or samples; () for vectors."""

    @abstractmethod
    def from_batch(self, batch: Tensor, size: Sequence[int] | None = None) -> Any:
        """The item of a batch of one, cut to its true size if one is given."""

    @abstractmethod
    def measure(
        self, item: Any, reconstruction: Any, bits: float, *, brief: bool = False
    ) -> dict[str, float]:
        """The metrics of an item of `bits` bits, by their keys; `brief`: only those that are cheap to compute."""

    @abstractmethod
    def save(self, path: Path, item: Any) -> None:
        """Write an item as a file, completely or not at all."""

    def save_all(self, out: Path, names: Sequence[str], items: Iterable[Any]) -> None:
        """Write decoded items by name, completely or not at all: a folder with a file for each item.

        Raises:
            CodewordError: the path exists, or cannot be written.
        """
        with whole_folder(out) as folder:
            for target, item in zip(file_names(names, self.suffix), items, strict=True):
                self.save(folder / target, item)

    @abstractmethod
    def panels(self, name: str, item: Any, reconstruction: Any, bits: float) -> list[Panel]:
        """Drawings of an item and of its reconstruction."""

    def note(self, source: Source, config: TrainConfig) -> str | None:
        """Notes for the user about training on this data."""
        return None

    @abstractmethod
    def position(self, config: TrainConfig) -> str:
        """The meaning of one position of a grid, in words."""

    def starred(self, metrics: Mapping[str, float]) -> bool:
        """Whether the last metric needs the footnote."""
        return False

    def check(self, config: TrainConfig) -> None:
        """Raise for settings that have no meaning here, or contradict each other."""
        for name, value in self.unused.items():
            if getattr(config, name) != value:
                expected, got = f"no {name} for {self.items}", f"{getattr(config, name)}"
                raise CodewordError.of(expected, got, f"leave out --{name.replace('_', '-')}")


def hold_out(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """Hold out one item in ten, evenly spaced, at least one and at most 64. A single item is not held out.

    Examples:
        >>> kept, held = hold_out(list(range(20)))
        >>> held, len(kept)
        ([5, 15], 18)
    """
    count = min(MOST, max(1, len(items) // SHARE)) if len(items) > 1 else 0
    taken = {(2 * place + 1) * len(items) // (2 * count) for place in range(count)}
    kept = [item for place, item in enumerate(items) if place not in taken]
    return kept, [items[place] for place in sorted(taken)]
