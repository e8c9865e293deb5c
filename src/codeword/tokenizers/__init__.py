"""Tokenizers: an encoder, a quantizer and a decoder in one small model."""

from codeword.tokenizers.base import Tokenizer, TokenizerOutput
from codeword.tokenizers.image import ImageTokenizer

__all__ = ["TOKENIZERS", "ImageTokenizer", "Tokenizer", "TokenizerOutput"]

TOKENIZERS: tuple[type[Tokenizer], ...] = (ImageTokenizer,)
"""All that a checkpoint can hold."""
