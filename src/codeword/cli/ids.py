"""`codeword ids`: the life of a catalogue of semantic IDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitSubcommandPrefixes, subcommand

from codeword.cli.ids_changes import Append, Refresh, Retire
from codeword.cli.ids_uses import Export, Report

__all__ = ["Ids"]


@dataclass(frozen=True)
class Ids:
    """Maintain a catalogue of semantic IDs: new items, retired ones, new embeddings."""

    what: OmitSubcommandPrefixes[
        Annotated[Append, subcommand("append")]
        | Annotated[Refresh, subcommand("refresh")]
        | Annotated[Retire, subcommand("retire")]
        | Annotated[Export, subcommand("export")]
        | Annotated[Report, subcommand("report")]
    ]

    def run(self) -> int:
        """Do what was asked for, and give the exit code."""
        return self.what.run()
