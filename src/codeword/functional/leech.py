"""The 196,560 shortest vectors of the Leech lattice, by number, and the one nearest to a row, without a table of them.

Times sqrt(8) they are, with b a word of the binary Golay code and an octad a word of eight ones:

    4 at two places, any signs                                         276 x 4         1,104
    2 at the places of an octad, an even number of them negative       759 x 128      97,152
    (-1)^b, and -3 (-1)^b at one place                                 4,096 x 24     98,304

The Golay code is read as six columns of four bits. A column (b0, b1, b2, b3) has a parity and a digit
b1 + 2 b2 + 3 b3 of the field of four elements (sums are xor); it is a word if all columns have the parity p of the six
b0, and the digits are a word of the hexacode. Given parity and digit, b0 leaves two columns, which are opposite.

Source: Conway and Sloane, "Sphere Packings, Lattices and Groups", chapters 4 and 11.
"""

from __future__ import annotations

import math
from itertools import combinations, product

import torch
from torch import Tensor

from codeword.constants import bit_table, kept
from codeword.functional.blocked import over_blocks

__all__ = ["LEECH_SIZE", "leech_vectors", "nearest_leech"]

PLACES = 24
LEECH_SIZE = 196_560
OF_PAIRS, OF_OCTADS = 1104, 97_152
_WIDTH = 1024  # numbers of a row at once: rows are searched in blocks that stay in the cache


def nearest_leech(rows: Tensor) -> Tensor:
    """The number (N,) int64 of the shortest vector with the largest product with each row (N, 24).

    About twelve thousand sums a row instead of 196,560 products of 24. The product is the largest within its
    rounding; of equal ones the number is any.

    Examples:
        >>> row = torch.zeros(1, 24)
        >>> row[0, 3], row[0, 20] = 5.0, -4.0
        >>> leech_vectors(nearest_leech(row))[0, [3, 20]].mul(32**0.5).round().tolist()
        [4.0, -4.0]
    """
    return torch.cat(over_blocks(_search, rows.detach(), _WIDTH))


def leech_vectors(indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The vectors (N, 24) of numbers (N,), at length 1.

    Examples:
        >>> leech_vectors(torch.tensor([0]), torch.float64).square().sum().round(decimals=6)
        tensor(1., dtype=torch.float64)
    """
    words = _by_odd((indices - OF_PAIRS - OF_OCTADS).clamp_min(0), dtype)
    octads = _by_octads((indices - OF_PAIRS).clamp(0, OF_OCTADS - 1), dtype)
    pairs = _by_pairs(indices.clamp_max(OF_PAIRS - 1), dtype)
    kind = indices[:, None]
    found = torch.where(kind < OF_PAIRS, pairs, torch.where(kind < OF_PAIRS + OF_OCTADS, octads, words))
    return found / math.sqrt(32)


def _search(rows: Tensor) -> Tensor:
    kinds = [_best_pair(rows), _best_octad(rows), _best_odd(rows)]
    scores, numbers = (torch.stack(parts, 1) for parts in zip(*kinds, strict=True))
    return numbers.gather(1, scores.argmax(1, keepdim=True)).squeeze(1)


# 4 at two places -------------------------------------------------------------------------------------------------


def _best_pair(rows: Tensor) -> tuple[Tensor, Tensor]:
    largest, places = rows.abs().topk(2, dim=1)
    low, high = places.amin(1), places.amax(1)
    pair = low * (2 * PLACES - 1 - low) // 2 + high - low - 1
    negative = (rows.gather(1, torch.stack([low, high], 1)) < 0).long()
    return 4 * largest.sum(1), pair * 4 + negative[:, 0] * 2 + negative[:, 1]


def _by_pairs(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    table = kept(
        "leech pairs",
        lambda: torch.tensor(list(combinations(range(PLACES), 2)), dtype=torch.int64, device=numbers.device),
        numbers.device,
        torch.int64,
    )
    signs = 4 - 8 * bit_table(2, numbers.device, dtype)[numbers % 4]
    return numbers.new_zeros((numbers.shape[0], PLACES), dtype=dtype).scatter(1, table[numbers // 4], signs)


# 2 at the places of an octad -------------------------------------------------------------------------------------


def _best_octad(rows: Tensor) -> tuple[Tensor, Tensor]:
    places, sizes, negative = _octads(rows.device), rows.abs(), rows < 0
    member = _octad_matrix(rows.device, rows.dtype)
    odd = (negative.to(rows.dtype) @ member).remainder(2)
    least = sizes[:, places[:, 0]]
    for column in places.unbind(1)[1:]:
        least = torch.minimum(least, sizes[:, column])
    score, octad = (2 * (sizes @ member) - 4 * odd * least).max(1)
    at = places[octad]
    signs = negative.gather(1, at)
    flipped = torch.zeros_like(signs).scatter(1, sizes.gather(1, at).argmin(1, keepdim=True), True)
    signs = signs ^ (flipped & (signs.sum(1, keepdim=True) % 2 == 1))
    return score, octad * 128 + _number(signs[:, :7].long()) + OF_PAIRS


def _by_octads(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    bits = bit_table(7, numbers.device, torch.int64)[numbers % 128]
    bits = torch.cat([bits, bits.sum(1, keepdim=True) % 2], 1)
    places = _octads(numbers.device)[numbers // 128]
    return numbers.new_zeros((numbers.shape[0], PLACES), dtype=dtype).scatter(
        1, places, (2 - 4 * bits).to(dtype)
    )


def _octads(device: torch.device) -> Tensor:
    """The places (759, 8) of the octads."""

    def make() -> Tensor:
        # By topk: a mask would give a number of octads that a tracer does not know.
        numbers = torch.arange(4096, dtype=torch.int64, device=device)
        words = _words(numbers)
        octads = ((words.sum(1) == 8) * (4096 - numbers)).topk(759).indices
        return (words[octads] * torch.arange(PLACES, 0, -1, dtype=torch.int64, device=device)).topk(8).indices

    return kept("leech octads", make, device, torch.int64)


def _octad_matrix(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(24, 759), 1 where a place is of an octad."""

    def make() -> Tensor:
        places = _octads(device)
        empty = torch.zeros((len(places), PLACES), dtype=dtype, device=device)
        return empty.scatter(1, places, 1.0).T.contiguous()

    return kept("leech octad matrix", make, device, dtype)


# Signs of a Golay word, and one place of 3 ---------------------------------------------------------------------------


def _best_odd(rows: Tensor) -> tuple[Tensor, Tensor]:
    columns = rows.unflatten(1, (6, 1, 4)) * (1 - 2 * _columns(rows.device).to(rows.dtype))  # (N, 6, 16, 4)
    sums = columns.sum(-1)
    plain = sums.unflatten(2, (2, 4, 2))  # by parity, digit and b0
    with_three = (sums - 4 * columns.amin(-1)).unflatten(2, (2, 4, 2))
    digits = _hexacode(rows.device)
    score, place = _best_words(plain, with_three, digits).max(1)
    parity, word = place // 64, place % 64
    which = torch.arange(rows.shape[0], dtype=torch.int64, device=rows.device)[:, None]
    column = torch.arange(6, dtype=torch.int64, device=rows.device)
    choice = which, column, parity[:, None], digits[word]
    tops = _tops(parity)  # (N, 32, 6): all b0 of a word
    one, other = (
        torch.where(tops == 1, part[choice][:, None, :, 1], part[choice][:, None, :, 0])
        for part in (plain, with_three)
    )
    top = (one.sum(2) + (other - one).amax(2)).argmax(1)
    number = place * 32 + top
    signed = rows * (1 - 2 * _words(number).to(rows.dtype))
    return score, number * PLACES + signed.argmin(1) + OF_PAIRS + OF_OCTADS


def _best_words(plain: Tensor, with_three: Tensor, digits: Tensor) -> Tensor:
    """The best product (N, 128) for each parity and word of the hexacode: over all b0, and all places of the 3.

    Column after column the best sums so far are kept, without (`even`, `odd`) and with (`after`) the place of the 3,
    for both parities of the b0 so far.
    """

    def sums(number: int) -> tuple[Tensor, ...]:  # each (N, 2, 64)
        digit = digits[:, number]
        zero, one = plain[:, number, :, digit].unbind(-1)
        return zero, one, *with_three[:, number, :, digit].unbind(-1)

    even, odd, *after = sums(0)
    for number in range(1, digits.shape[1]):
        zero, one, zero3, one3 = sums(number)
        after = [
            _most(after[0] + zero, after[1] + one, even + zero3, odd + one3),
            _most(after[1] + zero, after[0] + one, odd + zero3, even + one3),
        ]
        even, odd = _most(even + zero, odd + one), _most(odd + zero, even + one)
    return torch.cat([after[0][:, 0], after[1][:, 1]], 1)


def _most(first: Tensor, *others: Tensor) -> Tensor:
    for other in others:
        first = torch.maximum(first, other)
    return first


def _by_odd(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    place = numbers[:, None] % PLACES
    signs = 1 - 2 * _words(numbers // PLACES)
    return signs.scatter(1, place, -3 * signs.gather(1, place)).to(dtype)


# The Golay code ------------------------------------------------------------------------------------------------------


def _words(numbers: Tensor) -> Tensor:
    """The words (N, 24) of 0 and 1 of the Golay code: bits of a number are p, the word of the hexacode, five b0."""
    place, top = numbers // 32, numbers % 32
    parity = place // 64
    tops = _tops(parity).gather(1, top[:, None, None].expand(-1, 1, 6)).squeeze(1)
    digits = _hexacode(numbers.device)[place % 64]
    return _columns(numbers.device)[(parity[:, None] * 4 + digits) * 2 + tops].flatten(1)


def _tops(parity: Tensor) -> Tensor:
    """All the b0 (N, 32, 6) of words of a parity (N,)."""
    five = bit_table(5, parity.device, torch.int64).expand(parity.shape[0], -1, -1)
    last = (five.sum(2, keepdim=True) + parity[:, None, None]) % 2
    return torch.cat([five, last], 2)


def _columns(device: torch.device) -> Tensor:
    """The column (16, 4) of each parity, digit and b0, as a row of (parity x 4 + digit) x 2 + b0."""

    def number_of(bits: tuple[int, ...]) -> int:
        digit = bits[1] ^ 2 * bits[2] ^ 3 * bits[3]
        return (sum(bits) % 2 * 4 + digit) * 2 + bits[0]

    return kept(
        "golay columns",
        lambda: torch.tensor(
            sorted(product((0, 1), repeat=4), key=number_of), dtype=torch.int64, device=device
        ),
        device,
        torch.int64,
    )


def _hexacode(device: torch.device) -> Tensor:
    """The digits (64, 6): a, b, c and a x^2 + b x + c at x = 1, 2, 3."""

    def times(x: int, y: int) -> int:
        return (x + y - 2) % 3 + 1 if x and y else 0

    def word(a: int, b: int, c: int) -> list[int]:
        return [a, b, c, *(times(a, times(x, x)) ^ times(b, x) ^ c for x in (1, 2, 3))]

    return kept(
        "hexacode",
        lambda: torch.tensor(
            [word(*abc) for abc in product(range(4), repeat=3)], dtype=torch.int64, device=device
        ),
        device,
        torch.int64,
    )


def _number(bits: Tensor) -> Tensor:
    """The number (N,) that bits (N, width) are, the first the most significant."""
    worth = 2 ** torch.arange(bits.shape[1] - 1, -1, -1, dtype=torch.int64, device=bits.device)
    return (bits * worth).sum(1)
