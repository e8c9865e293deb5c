"""What the constructors of the facade take."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from codeword.checks import between
from codeword.errors import CodewordError

__all__ = ["THRESHOLDS", "Options", "Sizes"]

THRESHOLDS = {"ema": 0.0, "budget": 0.05}


@dataclass(frozen=True)
class Options:
    """Keyword options of every quantizer of sequences, beside its sizes.

    Attributes:
        shared_codebook: whether all residual stages have one codebook.
        expire_threshold: a code below it is replaced by a row of the batch. With the rule "ema" it is compared with the
            rows of a sample that the code gets, with the rule "budget" with the budget of the code. 0: never. None: the
            default of the rule, 0 and 0.05.
        ema_decay: of the moving averages.
        rule: "budget", the means and budgets of the newest version, or "ema", the counts and sums of the one before;
            None: "budget", and "ema" with an `expire_threshold` of 1 or more, which can only be of counts. Loading a
            state dictionary sets the rule of that state.
    """

    shared_codebook: bool = True
    expire_threshold: float | None = None
    ema_decay: float = 0.99
    rule: str | None = None

    def __post_init__(self) -> None:
        between("ema_decay", self.ema_decay, 0, 1)
        if self.rule not in (None, *THRESHOLDS):
            raise CodewordError.of(
                "rule 'ema' or 'budget'", repr(self.rule), "pass one of them, or leave it out"
            )

    def first_rule(self) -> str:
        """The rule of a module that has loaded nothing."""
        return self.rule or ("ema" if (self.expire_threshold or 0) >= 1 else "budget")

    @classmethod
    def of(cls, owner: object, options: dict[str, Any]) -> Options:
        """The options by name.

        Raises:
            CodewordError: an unknown option, or an invalid value.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise CodewordError.of(
                    f"options of {type(owner).__name__}", name, f"it has: {', '.join(known)}"
                )
        return cls(**options)


@dataclass(frozen=True)
class Sizes:
    """What `sequence_quantizer` is to build."""

    layout: str
    channels: int
    split: int
    groups: int
    codebook_size: int
    stages: int

    def __post_init__(self) -> None:
        names = {"channels": self.channels, "split_size": self.split, "num_groups": self.groups}
        names |= {"codebook_size": self.codebook_size, "num_residuals": self.stages}
        for name, value in names.items():
            if not isinstance(value, int) or value < 1:
                raise CodewordError.of(f"{name} of at least 1", repr(value), f"pass a whole number as {name}")
        if self.channels % self.groups:
            raise CodewordError.of(
                f"channels that num_groups={self.groups} divides", repr(self.channels), "pass another number"
            )
