"""Files that lie: codeword says so in its own words, runs nothing, writes nowhere else, and takes little memory."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import warnings
import zipfile
import zlib
from pathlib import Path
from random import Random

import pytest
import torch

import codeword
from codeword import CodewordError, checkpoints
from codeword.checkpoints.config import config_of
from codeword.workbench.data import read_image
from faults.readers import FOREIGN, READERS, signed, tokenizer

SHORT = {
    "checkpoint": 250,
    "config": 200,
    "weights": 60,
    "spec": 250,
    "foreign_file": 200,
    "foreign_state": 150,
}


def fuzz(reader: str, seeds: range, folder: Path) -> tuple[int, int]:
    """How many files were refused, and how many were none the worse; another error, or a stray file, fails."""
    refused = taken = longest = 0
    for seed in seeds:
        own = folder / "own"
        own.mkdir()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch and Pillow, about what they read
                READERS[reader](Random(seed), own)
            taken += 1
        except CodewordError as error:
            refused += 1
            longest = max(longest, len(str(error)))
        except Exception as error:
            raise AssertionError(
                f"{reader} of seed {seed}: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        for file in own.iterdir():
            file.unlink()
        own.rmdir()
        assert not list(folder.iterdir()), seed
    assert longest < 70_000  # a spec with a mark under the fault
    return refused, taken


@pytest.mark.parametrize("reader", READERS)
def test_only_our_own_errors_come_out(reader, tmp_path):
    count = SHORT.get(reader, 250)
    refused, taken = fuzz(reader, range(count), tmp_path)
    assert refused > count // 4, (refused, taken)


@pytest.mark.soak
@pytest.mark.parametrize("reader", READERS)
def test_only_our_own_errors_come_out_long(reader, tmp_path):
    fuzz(reader, range(10_000, 25_000), tmp_path)


class Payload:
    """What a pickle can do to whoever loads it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_is_not_run(tmp_path):
    state = {**FOREIGN["taming"], "extra": Payload(tmp_path / "was here")}
    torch.save(state, tmp_path / "state.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(state["extra"]))
    for name in ("state.pt", "plain.pkl"):
        with pytest.raises(CodewordError, match="a file of tensors"):
            codeword.checkpoints.convert(tmp_path / name, library="taming")
    checkpoints.save(tokenizer(), tmp_path / "run")
    for name in ("model.safetensors", "config.json"):
        kept = (tmp_path / "run" / name).read_bytes()
        (tmp_path / "run" / name).write_bytes((tmp_path / "state.pt").read_bytes())
        with pytest.raises(CodewordError):
            checkpoints.load(tmp_path / "run")
        (tmp_path / "run" / name).write_bytes(kept)
    assert not (tmp_path / "was here").exists()


def compressed_state(path: Path) -> None:
    """A state dictionary of 256 MB of zeros, packed into one."""
    stream = io.BytesIO()
    torch.save({"quantize.embedding.weight": torch.zeros(4, 16 << 20)}, stream)
    with zipfile.ZipFile(stream) as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in stored.namelist():
            packed.writestr(entry, stored.read(entry))


def repeated_state(path: Path) -> None:
    """One number that says it is a table of 4 TB."""
    torch.save({"quantize.embedding.weight": torch.zeros(1).expand(10**6, 10**6)}, path)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bombs(folder: Path) -> dict[str, Path]:
    """Small files that ask for much memory."""
    folder.mkdir(exist_ok=True)
    compressed_state(folder / "compressed.pt")
    repeated_state(folder / "repeated.pt")
    (folder / "huge.png").write_bytes(png(30_000, 30_000))
    (folder / "wide.png").write_bytes(png(2**31 - 1, 1))
    (folder / "header.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    changes = {
        "width": {"width": 10**6},
        "codes": {"quantizer": "vq999999999999"},
        "stages": {"quantizer": "rvq1000000000x2"},
        "shared": {"quantizer": "rvq1000000000x2,shared=true"},
        "nested": {"quantizer": "rvq1000x(rvq1000x(rvq1000x2))"},
        "blocks": {"blocks": 10**9},
        "deep": {"quantizer": "rvq2x(" * 20_000},
        "digits": {"quantizer": "vq" + "9" * 50_000},
        "other class": {"type": "subprocess.Popen"},
    }
    for name, change in changes.items():
        signed({**config_of(tokenizer()), **change}, tokenizer().state_dict(), folder / name)
    return {path.name: path for path in sorted(folder.iterdir())}


def open_bomb(path: Path) -> None:
    if path.is_dir():
        checkpoints.load(path)
    elif path.suffix == ".png":
        read_image(path)
    else:
        codeword.checkpoints.convert(path, library="taming")


MEASURE = """
    import resource, sys
    from pathlib import Path
    from codeword import CodewordError
    from faults.readers import tokenizer
    from faults.test_hostile_files import open_bomb

    tokenizer().encode(__import__("torch").zeros(1, 3, 8, 8))
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    before = peak()
    for path in sorted(Path(sys.argv[1]).iterdir()):
        try:
            open_bomb(path)
        except CodewordError as error:
            print(path.name, peak() - before, str(error)[:120], sep="|")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_bombs_take_little_memory(tmp_path):
    names = bombs(tmp_path / "bombs")
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), str(tmp_path / "bombs")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = {line.split("|")[0]: int(line.split("|")[1]) for line in result.stdout.splitlines() if "|" in line}
    assert set(said) == set(names), result.stdout
    assert max(said.values()) < 200, (
        result.stdout
    )  # MB more than before; Pillow and pickle bring code with them


def test_weights_that_are_no_numbers_are_not_loaded(tmp_path):
    for value, word in ((torch.nan, "NaN"), (torch.inf, "infinity")):
        tensors = {name: tensor.clone() for name, tensor in tokenizer().state_dict().items()}
        tensors["decoder.0.bias"][0] = value
        signed(config_of(tokenizer()), tensors, tmp_path)
        with pytest.raises(CodewordError, match=f"finite weights, but got {word} in decoder.0.bias"):
            checkpoints.load(tmp_path)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    """The checkpoint before them is worth more."""
    model = tokenizer()
    name = checkpoints.save(model, tmp_path)
    bias = model.decoder[0].bias
    with torch.no_grad():
        bias[0] += torch.nan
    try:
        with pytest.raises(CodewordError, match=r"NaN in decoder\.0\.bias; the checkpoint .* is as it was"):
            checkpoints.save(model, tmp_path)
    finally:
        with torch.no_grad():
            bias.zero_()
    assert checkpoints.stored_digest(tmp_path) == name
    checkpoints.load(tmp_path)


def test_codes_of_another_kind_are_refused(tmp_path):
    tensors = dict(tokenizer().state_dict())
    name = next(name for name in tensors if name.endswith("codes"))
    signed(config_of(tokenizer()), {**tensors, name: tensors[name].to(torch.int32)}, tmp_path)
    with pytest.raises(CodewordError, match=r"of torch\.int32 instead of torch\.float32"):
        checkpoints.load(tmp_path)
