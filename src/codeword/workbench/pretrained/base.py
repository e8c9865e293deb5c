"""A model of another library as a tokenizer. It calls the model's own encode and decode; nothing is converted."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.tokenizers import TokenizerInterface

__all__ = ["Codec", "CodecOptions", "SoundCodec"]

PASSING = ("_name_or_path", "transformers_version", "_diffusers_version", "dtype", "torch_dtype")
"""Keys of a configuration that do not change what the model does."""


@dataclass(frozen=True)
class CodecOptions:
    """Options of a codec.

    Args:
        codebooks: how many codebooks to use, from the first on; None: as many as the model's own encode.
        bandwidth: kilobits per second, one of those that it was trained for; None: that of the model's own encode.
    """

    codebooks: int | None = None
    bandwidth: float | None = None

    def refuse(self, model: str, *names: str) -> None:
        """Raise for options that a model does not support, or that exclude each other."""
        for name in names:
            if getattr(self, name) is not None:
                raise CodewordError.of(
                    f"no {name} for {model}", f"{getattr(self, name)}", f"leave out --{name}"
                )
        if self.codebooks is not None and self.bandwidth is not None:
            got = f"codebooks={self.codebooks} and bandwidth={self.bandwidth:g}"
            raise CodewordError.of("codebooks or bandwidth", got, "leave out one of them")


class Codec(TokenizerInterface):
    """A model of another library, in eval mode. Its library is imported only when a model is opened.

    Args:
        model: an object of the class that `model_class` names.
        name: its name.
        options: the user's options.

    Attributes:
        digest: SHA-256 of its weights and configuration, independent of the files that hold them.
    """

    library: ClassVar[str] = "transformers"
    model_class: ClassVar[str]
    """Of the library."""
    whole: str
    """Why it cannot be computed in chunks, for classes without their own `compute_in_chunks`."""

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__()
        self.model, self.name, self.options = model.eval(), name, options
        self.digest = _digest(self.model_class, model)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        indices = self.encode(x)
        return self.decode(indices), indices

    def compute_in_chunks(self, positions: int) -> None:
        """From now on compute in chunks of `positions` positions. The results are equal except for rounding.

        Raises:
            CodewordError: a part of the model depends on the whole sound, so chunks would give other tokens.
        """
        got = f"{self.name}, {self.whole}"
        raise CodewordError.of("a codec that can be computed in chunks", got, "leave out --chunk-seconds")


class SoundCodec(Codec):
    """A codec of sounds, with one or several codebooks at a step. Each model has a subclass with the rest.

    Sounds are (batch, 1, samples), or (batch, 2, samples) of a codec that is `stereo`, in full scale -1 to 1. Indices
    are (batch, steps, codebooks). The decoded sound has steps x stride samples.
    """

    kind = "audio"
    unit = "samples"
    grid = ("steps",)

    sample_rate: int
    codebooks: int
    """How many are used."""
    stereo: bool = False
    """Whether it takes two channels and encodes them together."""
    whole_steps: ClassVar[bool] = False
    """Whether the library's own processor pads sounds with silence to whole steps."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (int(self.model.config.codebook_size),) * self.codebooks

    @property
    def trailing_shape(self) -> tuple[int, ...]:
        return (self.codebooks,)

    @property
    def facts(self) -> dict[str, int]:
        return {**super().facts, "sample_rate": self.sample_rate}

    def encode(self, x: Tensor) -> Tensor:
        if self.whole_steps:
            x = F.pad(x, (0, -x.shape[-1] % self.stride))
        codes = self._run(self._encode, x, f"a sound of {x.shape[-1]} samples")
        return codes[:, : self.codebooks].transpose(1, 2).contiguous()

    def decode(self, indices: Tensor) -> Tensor:
        sounds = self._run(self._decode, indices.transpose(1, 2), f"{indices.shape[1]} steps")
        length = self._length(indices.shape[1])
        return F.pad(sounds, (0, max(0, length - sounds.shape[-1])))[..., :length]

    def _length(self, steps: int) -> int:
        """The number of decoded samples for `steps` steps."""
        return steps * self.stride

    @abstractmethod
    def _encode(self, sounds: Tensor) -> Tensor:
        """Codes (batch, codebooks, steps); there may be more codebooks than requested."""

    @abstractmethod
    def _decode(self, codes: Tensor) -> Tensor:
        """Sounds (batch, channels, samples) of codes (batch, codebooks, steps)."""

    def _count(self, most: int, usual: int) -> int:
        """How many of `most` codebooks to use; `usual`: the number of the model's own encode."""
        wanted = usual if self.options.codebooks is None else self.options.codebooks
        if not 1 <= wanted <= most:
            got = f"{wanted}"
            raise CodewordError.of(f"1 to {most} codebooks of {self.name}", got, "pass another --codebooks")
        return wanted

    @torch.no_grad()
    def _run(self, work: Any, x: Tensor, what: str) -> Tensor:
        try:
            done: Tensor = work(x)
        except (RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise CodewordError.of(f"{self.name} to take {what}", reason, "leave it out") from error
        return done


def _digest(model_class: str, model: Any) -> str:
    config = model.config.to_dict() if hasattr(model.config, "to_dict") else dict(model.config)
    kept = {key: value for key, value in config.items() if key not in PASSING}
    running = hashlib.sha256(json.dumps([model_class, kept], sort_keys=True, default=str).encode())
    for key, tensor in sorted(model.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        running.update(f"\0{key}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        running.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return running.hexdigest()
