"""What the commands share that many processes can do: who they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codeword.errors import CodewordError

__all__ = ["Engine"]


@dataclass(frozen=True)
class Engine:
    """Who does the work."""

    engine: Literal["process", "ray"] = "process"
    """What does the work: this process, with others that torchrun started; or workers of Ray (extra `cluster`)."""
    workers: int | None = None
    """Number of Ray workers. Default: one for each core, or one for each GPU with --device cuda."""
    address: str | None = None
    """The Ray cluster, such as auto or ray://host:10001. Default: this machine alone."""

    @property
    def is_ray(self) -> bool:
        """Whether Ray does it."""
        return self.engine == "ray"

    def check(self, processes: int) -> None:
        """Raise for words that do not go together.

        Args:
            processes: that a launcher started.
        """
        if self.is_ray and processes > 1:
            expected, remedy = "one launcher", "leave out one of them"
            raise CodewordError.of(expected, "--engine ray in several processes", remedy)
        for name in ("workers", "address"):
            if not self.is_ray and getattr(self, name) is not None:
                raise CodewordError.of(f"--engine ray for --{name}", "none", f"add it, or leave out --{name}")
        if self.workers is not None and self.workers < 1:
            raise CodewordError.of("workers of at least 1", f"{self.workers}", "raise workers")
