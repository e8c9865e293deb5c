"""What the commands that read vectors share: which columns of a table they are, and which names the rows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TableColumns"]


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table of vectors."""

    columns: tuple[str, ...] = ()
    """For a table of vectors: the columns of a vector, with one number in each; * matches anything: 'd*'."""
    names: str | None = None
    """For a table of vectors: the column with the names of the rows, of any type."""

    def of(self, data: str) -> str:
        """The data with the columns behind it: FILE::COLUMNS::NAMES."""
        from codeword.workbench.data.vectors import with_columns

        return with_columns(data, self.columns, self.names)
