"""What the workbench has to know about a kind of data; everything else is the same for all of them."""

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
SHARE, MOST = 10, 64  # one item in ten is held out, 64 at most: they are measured on several times in a run


class Metric(NamedTuple):
    """A measure of how well an item is kept, or at what cost."""

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
    """Items one at a time, each read when its turn comes; what cannot be used is left out, and said."""

    @property
    def names(self) -> Sequence[str]:
        """Of all items, the bad ones too."""

    @property
    def skipped(self) -> list[Skipped]:
        """What was left out of the latest iteration so far, and why."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[str, Any]]: ...


class Batches(Protocol):
    """What a run trains on: a function of the seed and the step alone."""

    def batch(self, step: int) -> Tensor:
        """The batch of a step, on the CPU."""


class Source(NamedTuple):
    """What a run trains on and what it holds out."""

    training: Any
    """Sized; what `Modality.batches` takes."""
    held_out: Items
    skipped: list[Skipped]
    fingerprint: str
    """Of the training data in a few digits: with other data a resumed run would not give the same bits."""

    @classmethod
    def of_files(cls, stream: Callable[[Sequence[str] | None], Stream]) -> Source:
        """That of the items of a stream, those of some names or all, one in ten of which is held out."""
        items = ItemCache(stream)
        kept, held = hold_out(list(range(len(items))))
        return cls.of(items.part(kept), list(items.part(held)), items.skipped)

    @classmethod
    def of(cls, training: Items, held_out: Items, skipped: Sequence[Skipped] = ()) -> Source:
        """That of items that are at hand; names and sizes make the fingerprint."""
        names = training.names if isinstance(training, ItemCache) else [name for name, _ in training]
        shapes = [(name, *shape) for name, shape in zip(names, shapes_of(training), strict=True)]
        fingerprint = hashlib.sha256(repr(shapes).encode()).hexdigest()
        return cls(training, held_out, list(skipped), fingerprint)


class Modality(ABC):
    """One kind of data: where it lies, what a step sees of it, how it is measured and written.

    An object is about the data of one run or of one tokenizer: its constructor takes what these differ in, such as
    the sample rate of sounds.
    """

    kind: ClassVar[str]
    """As tokenizers and token files call it."""
    items: ClassVar[str]
    """What the things are called that have a name and a row of a token file each: `pictures`."""
    metrics: ClassVar[tuple[Metric, ...]]
    """Of an item and its reconstruction. The first is what training watches, the second what it costs."""
    drawn: ClassVar[str]
    """What the picture of a run shows: `originals above ...`."""
    footnote: ClassVar[str] = ""
    """What a star behind the last figure means; see `starred`."""
    dtype: ClassVar[str] = "float32"
    """Of an item, and of a reconstruction as it is measured."""
    suffix: ClassVar[str]
    """Of the files that `decode` writes."""
    together: ClassVar[int] = 1
    """How many items are encoded at once: more than one where all have one size and the tokenizer gives an item the
    same tokens in every batch."""
    room: ClassVar[int | None] = None
    """Of a batch on a CPU, how many positions of the input (pixels) at most: with more, what networks keep is too large
    for caches, and each item takes longer than alone. None: any."""
    unused: ClassVar[Mapping[str, Any]] = {}
    """The settings that mean nothing for this kind, at the values that say so."""

    @classmethod
    @abstractmethod
    def holds(cls, data: str) -> bool:
        """Whether there are files of this kind at a path."""

    @classmethod
    @abstractmethod
    def of_data(cls, data: str, config: TrainConfig) -> Modality:
        """That of data to train on."""

    @classmethod
    @abstractmethod
    def of_tokenizer(cls, tokenizer: Any) -> Modality:
        """That of what a tokenizer of this kind takes."""

    @abstractmethod
    def stream(self, data: str, stride: int, names: Sequence[str] | None = None) -> Stream:
        """The items at a path, or some of them by name, but for those smaller than one position of `stride`."""

    @abstractmethod
    def source(self, data: str, config: TrainConfig) -> Source:
        """The items at a path, divided."""

    @abstractmethod
    def batches(self, training: Any, config: TrainConfig) -> Batches:
        """What the steps see of the training part of a source."""

    @abstractmethod
    def build(self, config: TrainConfig) -> Tokenizer:
        """A fresh tokenizer, drawn from torch's generator."""

    @abstractmethod
    def objective(self, tokenizer: Tokenizer, critic: Critic | None = None) -> nn.Module:
        """What is minimised, as one module: a batch to the loss, and the error in it that `quality` is about."""

    def critic(self, config: TrainConfig) -> Critic | None:
        """The discriminator that a run is to have, drawn from torch's generator."""
        return None

    @abstractmethod
    def quality(self, error: float) -> float:
        """The first of the metrics from the mean error of training batches."""

    @abstractmethod
    def to_batch(self, item: Any) -> Tensor:
        """An item as a batch of one, on the CPU."""

    @abstractmethod
    def true_size(self, item: Any) -> tuple[int, ...]:
        """The size of an item as token files have it: height and width, or samples; () of vectors."""

    @abstractmethod
    def from_batch(self, batch: Tensor, size: Sequence[int] | None = None) -> Any:
        """The item of a batch of one, cut to a true size if there is one."""

    @abstractmethod
    def measure(
        self, item: Any, reconstruction: Any, bits: float, *, brief: bool = False
    ) -> dict[str, float]:
        """The metrics of an item that took so many bits, by their keys; `brief`: only what is quickly found."""

    @abstractmethod
    def save(self, path: Path, item: Any) -> None:
        """Write an item as a file, whole or not at all."""

    def save_all(self, out: Path, names: Sequence[str], items: Iterable[Any]) -> None:
        """Write what was decoded, by name, whole or not at all: a folder with a file for each item.

        Raises:
            CodewordError: the place is taken or cannot be written to.
        """
        with whole_folder(out) as folder:
            for target, item in zip(file_names(names, self.suffix), items, strict=True):
                self.save(folder / target, item)

    @abstractmethod
    def panels(self, name: str, item: Any, reconstruction: Any, bits: float) -> list[Panel]:
        """What there is to see of an item and of what became of it."""

    def note(self, source: Source, config: TrainConfig) -> str | None:
        """What the user should know about training on this data, if anything."""
        return None

    @abstractmethod
    def position(self, config: TrainConfig) -> str:
        """What one position of a grid stands for, in words."""

    def starred(self, metrics: Mapping[str, float]) -> bool:
        """Whether the last of some metrics wants the footnote."""
        return False

    def check(self, config: TrainConfig) -> None:
        """Raise for settings that mean nothing here, or that do not fit together."""
        for name, value in self.unused.items():
            if getattr(config, name) != value:
                expected, got = f"no {name} for {self.items}", f"{getattr(config, name)}"
                raise CodewordError.of(expected, got, f"leave out --{name.replace('_', '-')}")


def hold_out(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """Take one item in ten out, evenly spread, at least one and at most 64; an only item is not taken.

    Examples:
        >>> kept, held = hold_out(list(range(20)))
        >>> held, len(kept)
        ([5, 15], 18)
    """
    count = min(MOST, max(1, len(items) // SHARE)) if len(items) > 1 else 0
    taken = {(2 * place + 1) * len(items) // (2 * count) for place in range(count)}
    kept = [item for place, item in enumerate(items) if place not in taken]
    return kept, [items[place] for place in sorted(taken)]
