"""Codecs that others trained, behind the face of a tokenizer: those of transformers and diffusers."""

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
