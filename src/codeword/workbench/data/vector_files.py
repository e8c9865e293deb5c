"""Files of vectors: .npy, .npz, Parquet and safetensors, read in blocks of rows as float32."""

from __future__ import annotations

import json
import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.workbench.data.files import check_unpacked
from codeword.workbench.data.remote import RemotePath

__all__ = ["PACKED", "Part", "VectorFile", "as_float32", "choose", "open_numpy", "open_safetensors"]

NPY = ".npy"
PACKED = 100  # the highest accepted compression; vectors are hardly ever compressed to a tenth


class Part(NamedTuple):
    """Some rows of a file, one after the other."""

    rows: np.ndarray
    """float32 (n, features)."""
    names: Sequence[str | None] | None = None
    """Of the rows, where the file names them."""
    faults: dict[int, str] = {}  # noqa: RUF012  never written to
    """Why a row is no vector of this width, by its index in the part. Such a row is NaN."""


class VectorFile(ABC):
    """The rows of one file.

    Attributes:
        rows: how many, including unusable ones.
        features: numbers of each.
        anywhere: whether rows are read without reading the rows before them, or holding all of them.
        named: whether the file names its rows.
        chosen: which columns are the vector and which are left out, where the file has others.
    """

    anywhere = True
    named = False
    chosen: str | None = None

    def __init__(self, path: Path, rows: int, features: int) -> None:
        self.path, self.rows, self.features = path, rows, features
        if rows < 1 or features < 1:
            raise CodewordError.of(f"vectors in {path}", f"{rows} of {features} numbers", "leave it out")

    @abstractmethod
    def parts(self, begin: int, end: int, size: int) -> Iterator[Part]:
        """The rows from `begin` to `end`, at most `size` at a time."""

    def names(self) -> Sequence[str | None]:
        """Of all rows, where it is `named`."""
        raise NotImplementedError


class _Array(VectorFile):
    """A file of arrays. It is opened again for each block, so that pages that were read do not stay mapped."""

    def __init__(self, path: Path, column: str | None) -> None:
        self.path, self.column = path, column
        shape, kind = self.facts()
        check_matrix(shape, kind, path)
        super().__init__(path, *shape)

    @abstractmethod
    def facts(self) -> tuple[tuple[int, ...], str]:
        """Shape and type of the array."""

    @abstractmethod
    def read(self, begin: int, end: int) -> np.ndarray:
        """Some rows as float32."""

    def parts(self, begin: int, end: int, size: int) -> Iterator[Part]:
        for start in range(begin, end, size):
            yield Part(self.read(start, min(end, start + size)))


class _Npy(_Array):
    def facts(self) -> tuple[tuple[int, ...], str]:
        with self.path.open("rb") as stream:
            shape, self.columnwise, dtype = _header(stream)
            self.begin, self.dtype = stream.tell(), dtype
        if not dtype.hasobject and not isinstance(self.path, RemotePath):
            self._map()  # raises now if the file is shorter than the header says
        return shape, dtype.name

    def read(self, begin: int, end: int) -> np.ndarray:
        if not isinstance(self.path, RemotePath):
            return as_float32(self._map()[begin:end])
        if self.columnwise:
            remedy = "save np.ascontiguousarray(vectors), or copy the file here"
            raise CodewordError.of(f"rows one after the other in {self.path}", "columns", remedy)
        width = self.features * self.dtype.itemsize
        found = _bytes(self.path, self.begin + begin * width, (end - begin) * width)
        return as_float32(np.frombuffer(found, self.dtype).reshape(-1, self.features))

    def _map(self) -> np.ndarray:
        array: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array


class _Npz(_Array):
    """Unpacked into memory when the first rows are read."""

    anywhere = False

    def facts(self) -> tuple[tuple[int, ...], str]:
        with self.path.open("rb") as file, zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(NPY) for name in archive.namelist() if name.endswith(NPY)]
        self.column = choose(names, self.column, self.path, "arrays")
        with self._member() as stream:
            shape, _, dtype = _header(stream)
        check_unpacked(self.path, math.prod(shape) * dtype.itemsize, PACKED)
        return shape, dtype.name

    def parts(self, begin: int, end: int, size: int) -> Iterator[Part]:
        with self._member() as stream:
            self.array = np.lib.format.read_array(stream, allow_pickle=False)
        yield from super().parts(begin, end, size)
        del self.array

    def read(self, begin: int, end: int) -> np.ndarray:
        return as_float32(self.array[begin:end])

    @contextmanager
    def _member(self) -> Iterator[IO[bytes]]:
        with (
            self.path.open("rb") as file,
            zipfile.ZipFile(file) as archive,
            archive.open(f"{self.column}{NPY}") as stream,
        ):
            yield stream


class _Safetensors(_Array):
    def facts(self) -> tuple[tuple[int, ...], str]:
        with self._open() as file:
            self.column = choose(list(file.keys()), self.column, self.path, "tensors")
            part = file.get_slice(self.column)
            shape, kind = part.get_shape(), str(part.get_dtype())  # F32, BF16, U8, ...
        return tuple(shape), "float" if "F" in kind else kind.replace("U", "uint").replace("I", "int")

    def read(self, begin: int, end: int) -> np.ndarray:
        with self._open() as file:
            return as_float32(file.get_slice(self.column)[begin:end].float().numpy())

    def _open(self) -> Any:
        return load("safetensors", "tokens").safe_open(self.path, framework="pt")


class _RemoteSafetensors(_Array):
    """Reads ranges of bytes; the library does this only for local files."""

    def facts(self) -> tuple[tuple[int, ...], str]:
        length = int.from_bytes(_bytes(self.path, 0, 8), "little")
        check_unpacked(self.path, length, 1)
        tensors = json.loads(_bytes(self.path, 8, length))
        self.column = choose(
            [name for name in tensors if name != "__metadata__"], self.column, self.path, "tensors"
        )
        self.tensor = tensors[self.column]
        self.begin = 8 + length + self.tensor["data_offsets"][0]
        shape, kind = self.tensor["shape"], self.tensor["dtype"]
        return tuple(shape), "float" if "F" in kind else kind.replace("U", "uint").replace("I", "int")

    def read(self, begin: int, end: int) -> np.ndarray:
        first, last = self.tensor["data_offsets"]
        width = (last - first) // self.rows
        found = _bytes(self.path, self.begin + begin * width, (end - begin) * width)
        facts = {"dtype": self.tensor["dtype"], "shape": [end - begin, self.features]}
        head = json.dumps({"rows": {**facts, "data_offsets": [0, len(found)]}}).encode()
        whole = len(head).to_bytes(8, "little") + head + found
        return as_float32(load("safetensors.torch", "tokens").load(whole)["rows"].float().numpy())


def _bytes(path: Path, begin: int, count: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(begin)
        return stream.read(count)


def open_numpy(path: Path, column: str | None) -> VectorFile:
    """An .npy or .npz file.

    Raises:
        CodewordError: no matrix of numbers, or no such file; ValueError, OSError, ...: a damaged one.
    """
    if path.suffix.lower() == ".npz":
        return _Npz(path, column)
    if column is not None:
        raise CodewordError.of(f"no name of an array for {path}", column, f"leave out ::{column}")
    return _Npy(path, None)


def open_safetensors(path: Path, column: str | None) -> VectorFile:
    """A .safetensors file; errors as `open_numpy`."""
    return _RemoteSafetensors(path, column) if isinstance(path, RemotePath) else _Safetensors(path, column)


def choose(names: Sequence[str], column: str | None, path: Path, items: str) -> str:
    """The requested array, or the only one."""
    if column in names:
        return str(column)
    if column is None and len(names) == 1:
        return names[0]
    listed = ", ".join(names) or "none"
    remedy = f"write {path}::NAME with one of them"
    expected = f"one of the {items} of {path}" if column is None else f"{column} among the {items} of {path}"
    raise CodewordError.of(expected, listed[:200], remedy)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, order (whether by columns) and dtype of an array. Only the header is read: the array may be large, or hold
    pickled objects.
    """
    format = np.lib.format
    version = format.read_magic(stream)
    read = format.read_array_header_1_0 if version == (1, 0) else format.read_array_header_2_0
    shape, columnwise, dtype = read(stream)
    return shape, columnwise, dtype


def check_matrix(shape: tuple[int, ...], kind: str, path: Path) -> None:
    """Raise unless an array is a matrix of numbers that float32 can hold; `kind`: the name of its type."""
    if kind == "object":
        got = "Python objects, which are never unpickled"
        remedy = "save np.stack(list(vectors)).astype('float32'), all of one length"
        raise CodewordError.of(f"an array of numbers in {path}", got, remedy)
    if kind.startswith("void"):
        remedy = "save np.stack([records[name] for name in ...], 1).astype('float32') with the names of the vectors"
        raise CodewordError.of(f"an array of numbers in {path}", "records with named fields", remedy)
    if len(shape) != 2:
        expected = f"an array (vectors, features) in {path}"
        raise CodewordError.of(expected, f"shape {tuple(shape)}", "reshape it to one row a vector")
    if not (kind.startswith("float") or kind in ("int8", "uint8", "int16", "uint16")):
        expected = f"floating-point numbers, or integers of 8 or 16 bits, in {path}"
        raise CodewordError.of(expected, kind, "convert it with .astype('float32') if these are vectors")


def as_float32(rows: Any) -> np.ndarray:
    """A contiguous float32 copy; numbers that are too large become infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(rows, dtype=np.float32, order="C")
