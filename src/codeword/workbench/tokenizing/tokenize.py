"""Encode and decode items: one by one, so that results do not depend on a batch, or in batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from codeword.checkpoints import load, stored_digest
from codeword.errors import CodewordError
from codeword.tokenizers import (
    AudioTokenizer,
    Networks,
    Tokenizer,
    TokenizerInterface,
    decode_in_chunks,
    encode_in_chunks,
)
from codeword.workbench.modalities import modality_of_tokenizer
from codeword.workbench.modalities.audio import Sounds
from codeword.workbench.pretrained import CodecOptions, SoundCodec, is_codec, open_codec
from codeword.workbench.threads import in_order

__all__ = ["ItemTokenizer", "groups", "neighbours", "open_tokenizer"]

Item = TypeVar("Item")


class ItemTokenizer:
    """A tokenizer for items of files: arrays in, arrays out.

    Args:
        tokenizer: in eval mode.
        digest: of its stored weights and configuration.
        name: its name, if it has one.
        chunk: for long sounds, positions that are computed at once; None: the whole item.
    """

    def __init__(
        self, tokenizer: TokenizerInterface, digest: str = "", name: str = "", chunk: int | None = None
    ) -> None:
        self.tokenizer, self.digest, self.name, self.chunk = tokenizer, digest, name, chunk
        self.modality = modality_of_tokenizer(tokenizer)

    @property
    def trained(self) -> Tokenizer:
        """The tokenizer, if codeword trained it, so that its quantizer can be inspected.

        Raises:
            CodewordError: it is a codec of another library.
        """
        if not isinstance(self.tokenizer, Tokenizer):
            expected, remedy = "a tokenizer that was trained here", "pass a run folder"
            raise CodewordError.of(expected, self.name or type(self.tokenizer).__name__, remedy)
        return self.tokenizer

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(chain(self.tokenizer.parameters(), self.tokenizer.buffers())).device

    @property
    def dtype(self) -> str:
        """The dtype of the weights: `float32`."""
        codec = self.tokenizer
        dtype = codec.dtype if isinstance(codec, Tokenizer) else next(codec.parameters()).dtype
        return str(dtype).removeprefix("torch.")

    def encode(self, item: Any) -> np.ndarray:
        """The tokens of one item: int64 (*grid, *trailing_shape)."""
        indices: np.ndarray = self._encode([item])[0]
        return indices

    def decode(self, indices: Any, size: Sequence[int] | None = None) -> Any:
        """Decode one grid of tokens to an item, cut to its true size if one is given."""
        return self._decode(torch.as_tensor(indices)[None], [size])[0]

    def reconstruct(self, item: Any) -> tuple[Any, np.ndarray]:
        """The reconstruction of an item, cut to its size, and its tokens."""
        return self.reconstruct_many([item])[0]

    @torch.no_grad()
    def reconstruct_many(self, items: Sequence[Any]) -> list[tuple[Any, np.ndarray]]:
        """The same for several items, if the modality allows batches."""
        if self.chunk is None:
            reconstructions, tokens = self.tokenizer.reconstruct(self._batch_of(items))
        else:
            tokens = self._indices(self._batch_of(items))
            reconstructions = self._reconstruction(tokens)
        found = zip(items, reconstructions.cpu().split(1), tokens.cpu(), strict=True)
        return [
            (self.modality.from_batch(one, self.modality.true_size(item)), indices.numpy())
            for item, one, indices in found
        ]

    def encode_all(
        self, items: Iterable[tuple[str, Any]], batch: int = 1
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """The tokens of named items in a stream.

        Args:
            items: names and arrays.
            batch: how many neighbouring items of one size are encoded at once; on a CPU fewer, if that is faster. With
                1 the tokens of an item do not depend on its neighbours. With more, sums may be rounded differently, and
                then a few tokens may change.

        Yields:
            Names, and the tokens of each: int64 (items, *grid, *trailing_shape).
        """
        for names, indices, _ in self.encode_sized(items, batch):
            yield names, indices

    def encode_sized(
        self, items: Iterable[tuple[str, Any]], batch: int = 1
    ) -> Iterator[tuple[list[str], np.ndarray, list[tuple[int, ...]]]]:
        """The same as `encode_all`, and the true sizes of the items."""

        def work(some: list[tuple[str, Any]]) -> tuple[list[str], np.ndarray, list[tuple[int, ...]]]:
            found = [item for _, item in some]
            return [name for name, _ in some], self._encode(found), [*map(self.modality.true_size, found)]

        size = max(batch, self.modality.together)
        return in_order(
            work, neighbours(items, size, self.modality.room if self.device.type == "cpu" else None)
        )

    def decode_all(
        self, batches: Iterable[Any], sizes: Iterable[Sequence[int] | None] | None = None
    ) -> Iterator[Any]:
        """A stream of items decoded from tokens (items, *grid, *trailing_shape); see `decode`.

        Args:
            batches: the tokens.
            sizes: the true size of each item, in the same order; None: items are not cut.
        """
        size, rest = self.modality.together, repeat(None) if sizes is None else iter(sizes)
        parts = (tokens[n : n + size] for tokens in batches for n in range(0, len(tokens), size))
        sized = ((part, list(islice(rest, len(part)))) for part in parts)
        for items in in_order(lambda part: self._decode(torch.as_tensor(part[0]), part[1]), sized):
            yield from items

    def bits_of(self, indices: np.ndarray) -> float:
        """The size of the tokens of one item in bits: log2(codes) for each."""
        positions = math.prod(indices.shape[: len(self.tokenizer.grid)])
        return positions * self.tokenizer.bits_per_position

    @torch.no_grad()
    def _encode(self, items: Sequence[Any]) -> np.ndarray:
        indices: np.ndarray = self._indices(self._batch_of(items)).cpu().numpy()
        return indices

    @torch.no_grad()
    def _decode(self, indices: torch.Tensor, sizes: Sequence[Sequence[int] | None]) -> list[Any]:
        batch = self._reconstruction(indices.to(self.device)).cpu()
        return [self.modality.from_batch(*one) for one in zip(batch.split(1), sizes, strict=True)]

    def _indices(self, batch: torch.Tensor) -> torch.Tensor:
        if self.chunk is None:
            return self.tokenizer.encode(batch)
        return encode_in_chunks(self.trained, batch, self.chunk)

    def _reconstruction(self, indices: torch.Tensor) -> torch.Tensor:
        if self.chunk is None:
            return self.tokenizer.decode(indices)
        return decode_in_chunks(self.trained, indices, self.chunk)

    def _batch_of(self, items: Sequence[Any]) -> torch.Tensor:
        batches = [self.modality.to_batch(item) for item in items]
        batch = batches[0] if len(batches) == 1 else torch.cat(batches)  # a long sound is not copied
        return batch.to(self.device)


def groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`; the last list may be shorter.

    Examples:
        >>> list(groups("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def neighbours(
    items: Iterable[tuple[str, Any]], size: int, room: int | None = None
) -> Iterator[list[tuple[str, Any]]]:
    """The items in lists of at most `size` neighbours with the same shape.

    Args:
        items: names and arrays.
        size: of a list.
        room: the largest total height x width of a list with more than one item; None: no limit.

    Examples:
        >>> items = [("a", np.zeros(2)), ("b", np.zeros(2)), ("c", np.zeros(3)), ("d", np.zeros(2))]
        >>> [[name for name, _ in some] for some in neighbours(items, 8)]
        [['a', 'b'], ['c'], ['d']]
        >>> [len(some) for some in neighbours([("a", np.zeros((4, 5, 3)))] * 5, 8, room=47)]
        [2, 2, 1]
    """
    for shape, same in groupby(items, lambda item: np.shape(item[1])):
        fitting = size if room is None else room // math.prod(shape[:2])
        yield from groups(same, max(1, min(size, fitting)))


def open_tokenizer(
    place: str | Path,
    device: str = "cpu",
    networks: Networks | None = None,
    options: CodecOptions = CodecOptions(),  # noqa: B008  frozen
    chunk_seconds: float | None = None,
    channels: str = "mix",
) -> ItemTokenizer:
    """The tokenizer of a run folder, or a codec of another library.

    Args:
        place: the folder of the run; or hf: and the folder or the id of a model.
        device: where to compute.
        networks: builds its encoder and decoder, if they are the user's own.
        options: of a codec of another library.
        chunk_seconds: of sounds, how much is computed at once; None: all of a sound.
        channels: of sounds of two channels: "mix", "separate" or "mid-side".

    Raises:
        CodewordError: the errors of `codeword.checkpoints.load` and `open_codec`; the folder holds no tokenizer; chunks
            or channels for data other than sounds; chunks for a codec that needs the whole sound.
    """
    found = _opened(place, device, networks, options, chunk_seconds)
    if channels != "mix":
        if not isinstance(found.modality, Sounds):
            got = f"{channels} for {found.modality.items}"
            raise CodewordError.of("--channels for sounds", got, "leave it out")
        if found.modality.channels == "both":
            expected = f"no --channels for {found.name}, which encodes two channels together"
            raise CodewordError.of(expected, channels, "leave it out")
        found.modality = Sounds(found.modality.sample_rate, channels)
    return found


def _opened(
    place: str | Path,
    device: str,
    networks: Networks | None,
    options: CodecOptions,
    chunk_seconds: float | None,
) -> ItemTokenizer:
    if is_codec(place):
        if networks is not None:
            raise CodewordError.of("no --model", f"{networks.name} for {place}", "leave out --model")
        codec = open_codec(str(place), options)
        if chunk_seconds is not None:
            codec.compute_in_chunks(_chunk_of(codec, chunk_seconds))
        codec.to(device)
        return ItemTokenizer(codec, codec.digest, codec.name)
    if options != CodecOptions():
        expected = "--codebooks and --bandwidth for a codec of another library"
        raise CodewordError.of(expected, f"the run folder {place}", "leave them out")
    folder = Path(place)
    model = load(folder, networks)
    if not isinstance(model, Tokenizer):
        remedy = "pass a folder that `codeword train`, `demo`, `fit` or `compare` wrote"
        raise CodewordError.of("a tokenizer", f"{folder}, which holds a {type(model).__name__}", remedy)
    chunk = None if chunk_seconds is None else _chunk_of(model, chunk_seconds)
    return ItemTokenizer(model.to(device), stored_digest(folder), chunk=chunk)


def _chunk_of(model: TokenizerInterface, seconds: float) -> int:
    """The number of positions in a chunk."""
    if not isinstance(model, AudioTokenizer | SoundCodec):
        expected = "a tokenizer of sounds for --chunk-seconds"
        raise CodewordError.of(expected, f"one of {model.unit}", "leave it out")
    if not 0 < seconds < math.inf:
        raise CodewordError.of("--chunk-seconds above 0", f"{seconds}", "pass for example 60")
    return math.ceil(seconds * model.sample_rate / model.stride)
