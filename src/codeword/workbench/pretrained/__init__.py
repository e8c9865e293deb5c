"""Pretrained codecs of transformers and diffusers, with the interface of a tokenizer."""

from codeword.workbench.pretrained.base import Codec, CodecOptions, SoundCodec
from codeword.workbench.pretrained.opening import CODECS, anywhere, is_codec, open_codec, split_options

__all__ = [
    "CODECS",
    "Codec",
    "CodecOptions",
    "SoundCodec",
    "anywhere",
    "is_codec",
    "open_codec",
    "split_options",
]
