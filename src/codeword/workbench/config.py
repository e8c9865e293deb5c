"""The settings of a training run: one dataclass of plain values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from codeword.errors import CodewordError
from codeword.workbench.critic import Adversarial
from codeword.workbench.processes import PRECISIONS

__all__ = ["TrainConfig"]

VERSION = 1
RATE_SCHEDULES = ("cosine", "linear", "constant")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run. The same settings, data and machine give the same weights, bit for bit."""

    quantizer: str = "vq1024"
    """The quantizer's spec: `vq1024` has 1,024 codes; `vq1024,code_features=8` sets an option of it; `rvq4x256`,
    `gvq2x256`, `fsq8-5-5-5`, `lfq18` and others are of other kinds."""
    model: str | None = None
    """Your own encoder and decoder: module:function, which is called with these settings and returns the two. It is
    kept as a name only, and has to be said again wherever the run is opened."""
    features: int = 16
    """Numbers per code vector."""
    width: int = 64
    """Channels of the encoder and the decoder. Of vectors: numbers of a hidden layer."""
    stride: int = 8
    """Pixels per position along each side: 8 gives one for 8 x 8 pixels, a power of two. Of sounds:
    samples per position."""
    blocks: int = 2
    """Residual blocks in the encoder and in the decoder."""
    size: int = 64
    """Side of the square crops to train on, in pixels. Of sounds: samples of an excerpt."""
    sample_rate: int | None = None
    """Of sounds: samples per second; those of another rate are resampled."""
    causal: bool = False
    """Of sounds: let no step see later samples, so that sounds can be encoded and decoded while they come."""
    channels: Literal["mix", "separate", "mid-side"] = "mix"
    """Of sounds of two channels: mix them, take left and right as two sounds, or their mean and half of their
    difference."""
    batch: int = 8
    """Crops, excerpts or vectors per step, in all processes together."""
    steps: int = 5000
    """Training steps."""
    minutes: float | None = None
    """Stop after this many minutes at the latest; the learning rate then falls by time if that is faster."""
    learning_rate: float = 2e-3
    """The highest learning rate of AdamW; see --rate-schedule."""
    rate_schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up: along half a cosine or a line down to zero, or not at all."""
    warm_up: float = 0.02
    """The share of the steps over which the learning rate rises to its highest, 0 to 1."""
    weight_decay: float = 0.01
    """AdamW's, of all weights but codes."""
    clip: float = 1.0
    """Gradients are shortened to this norm where they are longer; 0: never. On photographs they are of 0.05 to 0.3, and
    longer than 1 in a few of the first hundred steps only: what it catches is what would throw a run off."""
    schedule: str | None = None
    """Weights of losses that move: lfq.entropy=0.1:0.0@2000 takes that of the entropy of `lfq` from 0.1 to 0 in 2,000
    steps, where it stays; several with commas between."""
    adversarial: str | None = None
    """Train a discriminator beside the tokenizer, of patches of pictures or of spectra of sounds: WEIGHT@STEP, such as
    0.05@1000, is how much of its loss the tokenizer pays, and from which step on."""
    average: float | None = None
    """Keep and measure a running mean of the weights with this decay, such as 0.999, instead of the last ones."""
    shuffle_colours: bool = False
    """Swap red, green and blue in half of the crops: for a few pictures that have few colours."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision of encoder and decoder (extra `train`); the quantizer computes in float32 all the same."""
    threads: int = 0
    """Threads on the CPU; they decide the last bits too. 0: the fastest number, found by trying at the start."""
    seed: int = 0
    """Decides weights, crops and everything else that is drawn."""

    def to_values(self) -> dict[str, Any]:
        """The settings as plain values with a version, for JSON."""
        return {"version": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The settings that `to_values` gave.

        Raises:
            CodewordError: another version, unknown settings, or missing settings.
        """
        settings = dict(values)
        version = settings.pop("version", None)
        if version != VERSION:
            raise CodewordError.of(
                f"training settings of version {VERSION}", f"{version!r}", "upgrade codeword"
            )
        try:
            config = cls(**settings)
            for name, kind in get_type_hints(cls).items():
                if name not in settings:  # an older version may have had another default
                    raise TypeError(f"no {name}")
                if not _is_of(getattr(config, name), kind):
                    raise TypeError(f"{name} {getattr(config, name)!r:.80}")
        except TypeError as error:
            raise CodewordError.of("the settings of a run", str(error), "train into a new folder") from error
        return config

    def check(self) -> None:
        """Raise for values that are invalid for any data.

        Raises:
            CodewordError: the message says which.

        Examples:
            >>> TrainConfig(steps=0).check()
            Traceback (most recent call last):
            codeword.errors.CodewordError: expected steps of at least 1, but got 0; raise steps
        """
        for name in ("features", "width", "size", "batch", "steps"):
            if getattr(self, name) < 1:
                raise CodewordError.of(f"{name} of at least 1", f"{getattr(self, name)}", f"raise {name}")
        if self.precision not in PRECISIONS:
            raise CodewordError.of(
                f"a precision among {', '.join(PRECISIONS)}", repr(self.precision), "pass one of these"
            )
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise CodewordError.of(
                    f"{name} of at least 0", f"{getattr(self, name)}", f"pass another {name}"
                )
        for name in ("learning_rate", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise CodewordError.of(f"{name} above 0", f"{value}", f"pass another {name}")
        if self.adversarial is not None:
            Adversarial.of(self.adversarial)
        self._check_optimizer()

    def _check_optimizer(self) -> None:
        for name in ("clip", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise CodewordError.of(
                    f"{name} of at least 0", f"{getattr(self, name)}", f"pass another {name}"
                )
        if self.average is not None and not 0 <= self.average < 1:
            raise CodewordError.of("an average of 0 to below 1", f"{self.average}", "pass for example 0.999")
        if not 0 <= self.warm_up <= 1:
            raise CodewordError.of("a warm_up of 0 to 1, a share", f"{self.warm_up}", "pass for example 0.05")
        if self.rate_schedule not in RATE_SCHEDULES:
            expected = f"a rate_schedule among {', '.join(RATE_SCHEDULES)}"
            raise CodewordError.of(expected, repr(self.rate_schedule), "pass one of these")


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value from a file has the type of the setting."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    kinds = get_args(kind) or (kind,)
    return type(value) in kinds or (float in kinds and type(value) is int)
