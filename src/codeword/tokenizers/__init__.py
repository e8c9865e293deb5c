"""Tokenizers: an encoder, a quantizer and a decoder in one small model."""

from codeword.tokenizers.image import ImageTokenizer, ImageTokenizerOutput

__all__ = ["ImageTokenizer", "ImageTokenizerOutput"]
