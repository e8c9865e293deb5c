"""Long items in chunks: each is computed with as much around it as the networks see, so the tokens are the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.tokenizers.base import Tokenizer

__all__ = ["InChunks", "ReceptiveField", "decode_in_chunks", "encode_in_chunks", "receptive_field"]

SHORTEST, LONGEST = 16, 4096  # positions of the input that a receptive field is looked for in


class ReceptiveField(NamedTuple):
    """How many positions around its own an output depends on."""

    before: int
    after: int


class _Chunk(NamedTuple):
    first: int
    """Of the positions that are computed."""
    last: int
    """Behind them."""
    skip: int
    """How many of them come before those that are kept."""
    keep: int


def encode_in_chunks(tokenizer: Tokenizer, sounds: Tensor, positions: int) -> Tensor:
    """What `tokenizer.encode(sounds)` returns, in memory that does not grow with the length.

    The features of each chunk are those of the whole, because it is encoded together with the receptive field of the
    encoder on both sides. A processor may add up in another order for another length, so that features can differ by
    rounding, and now and then a token that lies between two codes.

    Args:
        tokenizer: of sounds, in eval mode.
        sounds: (batch, 1, samples).
        positions: of a chunk, without what is around it: `tokenizer.stride` samples each.

    Returns:
        Indices (batch, positions, *trailing_shape), int64.

    Raises:
        CodewordError: less than one position; an encoder that sees the whole sound; as `tokenizer.encode`.

    Examples:
        >>> import codeword
        >>> from codeword.tokenizers import AudioTokenizer
        >>> quantizer = codeword.from_spec("fsq8-5-5-5", features=4, dim=1)
        >>> tokenizer = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=(5, 8)).eval()
        >>> sounds = torch.rand(1, 1, 3999)
        >>> indices = encode_in_chunks(tokenizer, sounds, 30)
        >>> indices.equal(tokenizer.encode(sounds)), tuple(indices.shape)
        (True, (1, 100))
    """
    _check(positions)
    stride, total = tokenizer.stride, math.ceil(sounds.shape[-1] / tokenizer.stride)
    if total <= positions:
        return tokenizer.encode(sounds)
    field = receptive_field(tokenizer.encoder, tokenizer.example().shape[1], stride, tokenizer.tile)
    return _joined(tokenizer.encode, sounds, _chunks(total, positions, field), (-1, stride), (1, 1))


def decode_in_chunks(tokenizer: Tokenizer, indices: Tensor, positions: int) -> Tensor:
    """What `tokenizer.decode(indices)` returns, but for rounding, in memory that grows with nothing but the sound.

    Args:
        tokenizer: of sounds, in eval mode.
        indices: (batch, positions, *trailing_shape).
        positions: of a chunk, without what is around it.

    Returns:
        Sounds (batch, 1, samples).

    Raises:
        CodewordError: less than one position; a decoder that sees the whole sound; as `tokenizer.decode`.
    """
    _check(positions)
    stride, total = tokenizer.stride, indices.shape[1]
    if total <= positions:
        return tokenizer.decode(indices)
    field = receptive_field(tokenizer.decoder, tokenizer.channels, tokenizer.tile, stride)
    return _joined(tokenizer.decode, indices, _chunks(total, positions, field), (1, 1), (-1, stride))


class InChunks(nn.Module):
    """A network along time that computes what it always did, but for rounding, in chunks.

    It stands in a model in the place of the network, of a codec of another library for example, whose own code goes on
    as before. The network's memory is that of a chunk; what comes in and what goes out is whole.

    Args:
        network: (batch, channels, positions x taken) to (batch, any, positions x given), in eval mode.
        positions: of a chunk, without what is around it.
        taken: numbers of the input for a position.
        given: numbers of the output for a position.
        field: how much around a position an output depends on.

    Raises:
        CodewordError: less than one position.

    Examples:
        >>> network = nn.Conv1d(1, 1, 7, padding=3)
        >>> chunked = InChunks(network, 4, 1, 1, receptive_field(network, 1, 1, 1))
        >>> x = torch.rand(1, 1, 50)
        >>> torch.allclose(chunked(x), network(x))
        True
    """

    def __init__(
        self, network: nn.Module, positions: int, taken: int, given: int, field: ReceptiveField
    ) -> None:
        super().__init__()
        _check(positions)
        self.network, self.positions, self.taken, self.given = network, positions, taken, given
        self.field = field

    def forward(self, x: Tensor) -> Tensor:
        total = math.ceil(x.shape[-1] / self.taken)
        if total <= self.positions:
            whole: Tensor = self.network(x)
            return whole
        chunks = _chunks(total, self.positions, self.field)
        return _joined(self.network, x, chunks, (-1, self.taken), (-1, self.given))


@torch.no_grad()
def receptive_field(network: nn.Module, channels: int, taken: int, given: int) -> ReceptiveField:
    """What an output of a network along time depends on, found by trying: which outputs a NaN in one position reaches.

    So it holds for networks of any make. One that sees everything, by attention, recurrence or a norm over time, has
    none.

    Args:
        network: (1, channels, positions x taken) to (1, any, positions x given).
        channels: that it takes.
        taken: numbers of the input for a position.
        given: numbers of the output for a position.

    Raises:
        CodewordError: an output depends on everything, or on more than 2,048 positions on a side.

    Examples:
        >>> receptive_field(nn.Conv1d(1, 1, 7, padding=3), 1, 1, 1)
        ReceptiveField(before=3, after=3)
        >>> receptive_field(nn.Conv1d(1, 1, 4, stride=2, padding=1), 1, 2, 1)
        ReceptiveField(before=1, after=1)
    """
    weight = next(iter(network.parameters()), torch.zeros((), dtype=torch.float32, device="cpu"))
    training = network.training
    network.eval()  # statistics of training would become NaN
    try:
        positions = SHORTEST
        while positions <= LONGEST:
            x = weight.new_zeros(1, channels, positions * taken)
            middle = positions // 2
            x[..., middle * taken : (middle + 1) * taken] = math.nan
            reached = network(x).isnan().flatten(0, 1).any(0)
            # Transposed convolutions of odd strides may leave out a little of the end.
            reached = F.pad(reached, (0, positions * given - len(reached))).view(positions, given).any(1)
            places = reached.nonzero()[:, 0].tolist()
            if places and places[0] > 0 and places[-1] < positions - 1:
                return ReceptiveField(max(0, places[-1] - middle), max(0, middle - places[0]))
            positions *= 2
    finally:
        network.train(training)
    expected = f"a {type(network).__name__} that sees at most {LONGEST // 2} positions on a side, for chunks"
    raise CodewordError.of(expected, "one that sees more", "encode and decode in one piece")


def _joined(
    work: Callable[[Tensor], Tensor],
    x: Tensor,
    chunks: Iterable[_Chunk],
    taken: tuple[int, int],
    given: tuple[int, int],
) -> Tensor:
    """What the chunks of an input give, one after the other; `taken` and `given`: an axis, and numbers a position."""
    (axis, into), (out_axis, out_of) = taken, given
    parts = []
    for chunk in chunks:
        begin, end = chunk.first * into, min(chunk.last * into, x.shape[axis])
        found = work(x.narrow(axis, begin, end - begin))
        skip = chunk.skip * out_of
        parts.append(found.narrow(out_axis, skip, min(chunk.keep * out_of, found.shape[out_axis] - skip)))
    return torch.cat(parts, out_axis)


def _chunks(total: int, positions: int, field: ReceptiveField) -> Iterator[_Chunk]:
    for begin in range(0, total, positions):
        end = min(total, begin + positions)
        # At least one position before: the last one may be too short to be encoded alone.
        first = max(0, begin - max(1, field.before))
        yield _Chunk(first, min(total, end + field.after), begin - first, end - begin)


def _check(positions: int) -> None:
    if positions < 1:
        raise CodewordError.of("chunks of at least one position", f"{positions}", "pass how many a chunk has")
