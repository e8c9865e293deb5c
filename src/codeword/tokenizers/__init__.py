"""Tokenizers: an encoder, a quantizer and a decoder in one small model."""

from codeword.tokenizers.audio import AudioTokenizer
from codeword.tokenizers.base import Tokenizer, TokenizerOutput
from codeword.tokenizers.chunks import (
    InChunks,
    ReceptiveField,
    decode_in_chunks,
    encode_in_chunks,
    receptive_field,
)
from codeword.tokenizers.custom import Networks
from codeword.tokenizers.image import ImageTokenizer
from codeword.tokenizers.interface import TokenizerInterface
from codeword.tokenizers.vectors import VectorTokenizer

__all__ = [
    "TOKENIZERS",
    "AudioTokenizer",
    "ImageTokenizer",
    "InChunks",
    "Networks",
    "ReceptiveField",
    "Tokenizer",
    "TokenizerInterface",
    "TokenizerOutput",
    "VectorTokenizer",
    "decode_in_chunks",
    "encode_in_chunks",
    "receptive_field",
]

TOKENIZERS: tuple[type[Tokenizer], ...] = (ImageTokenizer, AudioTokenizer, VectorTokenizer)
"""All that a checkpoint can hold."""
