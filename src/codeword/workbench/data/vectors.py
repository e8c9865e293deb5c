"""Vectors as the user names them: a file, or a folder of such files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple
from warnings import warn

import numpy as np

from codeword.errors import CodewordError, CodewordWarning, printable
from codeword.tokens import check_name
from codeword.workbench.data.files import Skipped, any_file, find_files, none_usable
from codeword.workbench.data.remote import is_remote, path_of
from codeword.workbench.data.vector_files import Part, VectorFile
from codeword.workbench.data.vector_formats import VECTOR_SUFFIXES, names_of, open_vectors, parts_of
from codeword.workbench.data.vector_names import RowNumbers, check_once, fault_of_name, rows_of

__all__ = ["COLUMN", "VECTOR_SUFFIXES", "Block", "Place", "VectorStream", "place_of", "with_columns"]

COLUMN = "::"  # separates a path, the array, tensor or columns in it, and the column of row names
NUMBERS = 2**22  # of one block: 16 MiB
ROWS = 2**16
SEGMENT = 8  # blocks of a segment, about


class Block(NamedTuple):
    """Some vectors, all of them usable."""

    numbers: np.ndarray
    """Of the rows, among all rows of all files: int64 (n,)."""
    names: list[str]
    rows: np.ndarray
    """float32 (n, features)."""


class VectorStream:
    """A stream of vectors, read in blocks of rows, in bounded memory.

    Iterating gives pairs of name and float32 array (features,); `blocks` gives the same in blocks. `len` is the number
    of rows, including unusable ones.

    The name of a row comes from a Parquet column `item_id`, `id` or `name`, or from pandas' index. Otherwise it is the
    row number in its file, from 0; in a folder the path of the file comes first: `part.npy/17`. These are added to
    `skipped`: a row with a NaN, an infinity or a number too large for float32; a row of another length; a row with an
    invalid name; a file that cannot be read, or whose vectors have another length than those of the first file.

    If a table has a column for each number, name the columns of the vector: `items.parquet::d*`, `items.parquet::x,y`.
    A second `::` is followed by the column of the row names: `items.parquet::d*::sku`. A warning says which columns of
    a table are read, unless `names` are given.

    An .npy or .safetensors is memory-mapped and Parquet read by row groups; an .npz is unpacked into memory.

    Args:
        data: a file or a folder, here or where fsspec opens it (`s3://bucket/items`); `file.npz::key` names one of
            several arrays, tensors or columns of lists, or the columns of single numbers.
        features: the required length of the vectors; None: that of the first file.
        names: read only these names of the complete stream, in the order of the rows; all may be unusable.
        strict: raise for the first row or file that cannot be used, instead of leaving it out.

    Attributes:
        features: numbers of a vector.
        skipped: the unusable rows and files of the latest iteration so far.

    Raises:
        CodewordError: there is no file of vectors; at the end of an iteration over all: no row can be used.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/two.npy", np.array([[1.0, 2.0], [3.0, np.nan]]))
        ...     vectors = VectorStream(f"{folder}/two.npy")
        ...     [(name, row.tolist()) for name, row in vectors], [one.reason for one in vectors.skipped]
        ([('0', [1.0, 2.0])], ['not finite'])
    """

    def __init__(
        self,
        data: str | Path,
        features: int | None = None,
        names: Sequence[str] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.data, self.strict = str(data), strict
        self.skipped: list[Skipped] = []
        place = place_of(data)
        self._root = place.path if place.path.is_dir() else None
        self._files = self._open(find_files(place.path, VECTOR_SUFFIXES, "vectors"), place, features)
        if not self._files:
            raise none_usable(self.skipped, data, "vectors")
        self._closed = list(self.skipped)  # the files that were left out
        self.features = self._files[0].features
        self._starts = [0]
        for file in self._files:
            self._starts.append(self._starts[-1] + file.rows)
        self._part = None if names is None else list(names)
        if names is None:
            self._note_columns()

    def __len__(self) -> int:
        return self._starts[-1] if self._part is None else len(self._part)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        for block in self.blocks():
            yield from zip(block.names, block.rows, strict=True)

    @property
    def block_count(self) -> int:
        """The approximate number of blocks, for a progress bar."""
        return -(-len(self) // self._size)

    @property
    def anywhere(self) -> bool:
        """Whether `read` reads rows without reading those before them."""
        return all(file.anywhere for file in self._files)

    @property
    def named(self) -> bool:
        """Whether rows have names of their own, which could come twice."""
        return any(file.named for file in self._files)

    @property
    def names(self) -> Sequence[str]:
        """The names of all rows, including unusable ones; `""` if a file that names its rows has no name for one.

        Raises:
            CodewordError: several rows have one name.
        """
        return self._all_names() if self._part is None else self._part

    def _all_names(self) -> Sequence[str]:
        if not self.named:
            return RowNumbers(self._starts, [self._prefix(file) for file in self._files])
        found: list[str] = []
        for file in self._files:
            own = names_of(file) if file.named else (f"{self._prefix(file)}{n}" for n in range(file.rows))
            found += [name or "" for name in own]
        check_once(found, self.data)
        return found

    def blocks(self, size: int | None = None) -> Iterator[Block]:
        """All usable vectors in order, at most `size` at a time, by default some thousands."""
        self.skipped = list(self._closed)
        usable = False
        for begin, end in self._runs():
            for first, file, part in self._parts(begin, end, size or self._size):
                block = self._usable(first, file, part)
                usable = usable or len(block.names) > 0
                yield block
        if not usable and self._part is None:
            raise none_usable(self.skipped, self.data, "vectors")

    @property
    def segments(self) -> list[tuple[int, int]]:
        """Begin and end of segments of at most half a million rows of one file, which processes divide."""
        size = SEGMENT * self._size
        files = pairwise(self._starts)
        return [(begin, min(end, begin + size)) for first, end in files for begin in range(first, end, size)]

    def pieces(self, segments: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Block]]:
        """The blocks of some segments, with the number of their segment. Other segments do not affect them."""
        self.skipped = list(self._closed)
        for number, (begin, end) in enumerate(segments):
            for part in self._parts(begin, end, self._size):
                yield number, self._usable(*part)

    def raw(self, begin: int = 0, end: int | None = None) -> Iterator[np.ndarray]:
        """The rows in a range, unchanged, including unusable ones, in blocks."""
        for _, _, part in self._parts(begin, self._starts[-1] if end is None else end, self._size):
            yield part.rows

    def read(self, begin: int, end: int) -> np.ndarray:
        """The same in one piece: float32 (end - begin, features)."""
        return np.concatenate([np.empty((0, self.features), np.float32), *self.raw(begin, end)])

    @property
    def _size(self) -> int:
        return max(1, min(ROWS, NUMBERS // self.features))

    def _parts(self, begin: int, end: int, size: int) -> Iterator[tuple[int, VectorFile, Part]]:
        """Parts of files with the number of their first row."""
        for start, stop, file in zip(self._starts, self._starts[1:], self._files, strict=False):
            at = max(begin, start)
            if at < min(end, stop):
                for part in parts_of(file, at - start, min(end, stop) - start, size):
                    yield at, file, part
                    at += len(part.rows)

    def _usable(self, first: int, file: VectorFile, part: Part) -> Block:
        """The usable rows of a part; the others are recorded."""
        start = first - self._starts[self._files.index(file)]
        finite = np.isfinite(part.rows).all(1)
        faults = {int(place): "not finite" for place in np.flatnonzero(~finite)} | part.faults
        names = [f"{self._prefix(file)}{start + n}" for n in range(len(part.rows))]
        if part.names is not None:
            for place, name in enumerate(part.names):
                fault = fault_of_name(name)
                if fault is not None:
                    faults.setdefault(place, fault)
                else:
                    names[place] = str(name)
        for place, reason in sorted(faults.items()):
            self._skip(names[place], reason)
        good = np.ones(len(names), bool)
        good[list(faults)] = False
        kept = [name for name, is_good in zip(names, good, strict=True) if is_good] if faults else names
        return Block(np.flatnonzero(good) + first, kept, part.rows[good] if faults else part.rows)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """The rows to go through, as pairs of begin and end."""
        if self._part is None:
            yield 0, self._starts[-1]
            return
        for _, run in groupby(
            enumerate(rows_of(self._all_names(), self._part)), lambda pair: pair[1] - pair[0]
        ):
            members = [number for _, number in run]
            yield members[0], members[-1] + 1

    def _open(self, paths: list[Path], place: Place, features: int | None) -> list[VectorFile]:
        files: list[VectorFile] = []
        for path in paths:
            try:
                if self._root is not None:
                    check_name(path.relative_to(self._root).as_posix())
                file = open_vectors(path, place.column, place.names)
                expected = features or (files[0].features if files else file.features)
                if file.features != expected:
                    got = f"{file.features} in {path}"
                    raise CodewordError.of(f"vectors of {expected} numbers", got, "leave them out")
            except CodewordError as error:
                if len(paths) == 1 or self.strict:
                    raise
                self._skip(str(path), str(error))
            else:
                files.append(file)
        return files

    def _note_columns(self) -> None:
        """Print which columns of tables are read, once for all files with the same columns."""
        said: dict[str, list[VectorFile]] = {}
        for file in self._files:
            if file.chosen is not None:
                said.setdefault(file.chosen, []).append(file)
        for chosen, files in said.items():
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            warn(f"{files[0].path}{more}: {chosen}", CodewordWarning, stacklevel=3)

    def _prefix(self, file: VectorFile) -> str:
        return "" if self._root is None else f"{file.path.relative_to(self._root).as_posix()}/"

    def _skip(self, name: str, reason: str) -> None:
        if self.strict:
            raise CodewordError.of("vectors that can all be used", f"{name}: {reason}", "leave it out")
        self.skipped.append(Skipped(printable(name), printable(reason)))


class Place(NamedTuple):
    """Where vectors are."""

    path: Path
    column: str | None = None
    """The name of the array, the tensor or the column of lists, or the columns of single numbers."""
    names: str | None = None
    """The column that names the rows."""


def place_of(data: str | Path) -> Place:
    """The path, and the columns that follow it.

    Examples:
        >>> place_of("deep/items.parquet::embedding")
        Place(path=PosixPath('deep/items.parquet'), column='embedding', names=None)
        >>> place_of("items.parquet::::sku").names
        'sku'
    """
    path, *columns = str(data).split(COLUMN, 2)
    if not columns or (not is_remote(data) and Path(data).exists()):
        return Place(path_of(data))
    return Place(path_of(path), *(column or None for column in columns))


def with_columns(data: str, columns: Sequence[str], names: str | None = None) -> str:
    """The same with columns named, of numbers and of names: what `VectorStream` takes.

    Raises:
        CodewordError: `data` names some already, or has no vectors.

    Examples:
        >>> with_columns("items.parquet", ["x", "y"]), with_columns("items.parquet::v", [], "sku")
        ('items.parquet::x,y', 'items.parquet::v::sku')
    """
    if not columns and names is None:
        return data
    place, asked = place_of(data), ",".join(columns)
    if place.path.exists() and not any_file(place.path, VECTOR_SUFFIXES):
        raise CodewordError.of("a table of vectors for --columns and --names", data, "leave them out")
    for word, one, other in (("columns", place.column, asked), ("names", place.names, names)):
        if one is not None and other:
            got = f"{data} and --{word} {other}"
            raise CodewordError.of(f"the {word} once, behind {COLUMN} or --{word}", got, "leave out one")
    words = [f"{place.path}", asked or place.column or "", names or place.names or ""]
    return COLUMN.join(words if words[2] else words[:2])
