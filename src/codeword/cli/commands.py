"""The commands there are, by the word that calls them."""

from __future__ import annotations

from typing import Protocol

from codeword.cli.compare import Compare
from codeword.cli.decode import Decode
from codeword.cli.demo import Demo
from codeword.cli.encode import Encode
from codeword.cli.evaluate import Evaluate
from codeword.cli.export import Export
from codeword.cli.fit import Fit
from codeword.cli.ids import Ids
from codeword.cli.report import Report
from codeword.cli.tokens import Tokens
from codeword.cli.train import Train

__all__ = ["COMMANDS", "Runs"]


class Runs(Protocol):
    """What every command is: a dataclass of its arguments that can be run."""

    def run(self) -> int:
        """Do it, and give the exit code."""


COMMANDS: dict[str, type[Runs]] = {
    "demo": Demo,
    "train": Train,
    "encode": Encode,
    "decode": Decode,
    "evaluate": Evaluate,
    "compare": Compare,
    "export": Export,
    "fit": Fit,
    "ids": Ids,
    "report": Report,
    "tokens": Tokens,
}
