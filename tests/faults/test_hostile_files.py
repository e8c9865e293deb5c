"""Files that lie: codeword says so in its own words, runs nothing, writes nowhere else, and takes little memory."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as arrow
import pytest
import torch
from pyarrow import parquet

import codeword
from codeword import CodewordError, checkpoints
from codeword.checkpoints.config import config_of
from codeword.errors import CodewordWarning
from codeword.workbench.data import read_image
from codeword.workbench.data.parquet_footer import held_by
from codeword.workbench.data.vectors import VectorStream
from faults.readers import FOREIGN, READERS, signed, tokenizer
from faults.sounds_and_vectors import parquet_files

# Cases: how many in the short form and in the long one, 106,000 in all. Those that cost most are fewest.
MODELS = {"checkpoint": (250, 5000), "config": (200, 5000), "weights": (60, 3000), "spec": (250, 8000)}
FOREIGN_ONES = {"foreign_file": (200, 8000), "foreign_state": (150, 9000)}
MODALITIES = {"image": (250, 8000), "sound": (150, 8000), "tokens": (250, 9000)}
VECTORS = {"npy": (80, 6000), "npz": (80, 8000), "columns": (80, 8000), "safetensors": (80, 7000)}
MANY = MODELS | FOREIGN_ONES | MODALITIES | VECTORS | {"settings": (200, 7000), "records": (100, 7000)}


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
    count, _ = MANY[reader]
    refused, taken = fuzz(reader, range(count), tmp_path)
    assert refused > count // 4, (refused, taken)


@pytest.mark.soak
@pytest.mark.parametrize("reader", READERS)
def test_only_our_own_errors_come_out_long(reader, tmp_path):
    _, count = MANY[reader]
    refused, taken = fuzz(reader, range(10_000, 10_000 + count), tmp_path)
    sys.stdout.write(f"{reader}: {refused} refused, {taken} none the worse\n")


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


def test_pickled_arrays_are_not_run(tmp_path):
    objects = np.array([[Payload(tmp_path / "was here")]], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", rows=objects)
    for name in ("objects.npy", "objects.npz"):
        with pytest.raises(CodewordError, match="Python objects|allow_pickle"):
            VectorStream(tmp_path / name)
    assert not (tmp_path / "was here").exists()


def test_programs_that_draw_are_not_run(tmp_path):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    (tmp_path / "drawn.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(CodewordError, match="a picture of pixels, but got PostScript"):
        read_image(tmp_path / "drawn.png")


def test_networks_that_a_config_names_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "payload.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    named = {"networks": {"name": "payload:make", "settings": {}}}
    signed({**config_of(tokenizer()), **named}, tokenizer().state_dict(), tmp_path / "run")
    with pytest.raises(CodewordError, match="they call it 'payload:make'"):
        checkpoints.load(tmp_path / "run")
    assert "payload" not in sys.modules


def test_a_footer_says_what_arrow_reads_in_it(tmp_path):
    for content, _ in parquet_files():
        (tmp_path / "whole.parquet").write_bytes(content)
        facts = parquet.ParquetFile(tmp_path / "whole.parquet").metadata
        groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
        for columns in ({0}, {facts.num_columns - 1}, set(range(facts.num_columns))):
            chunks = [group.column(number) for group in groups for number in columns]
            wanted = (
                sum(one.num_values for one in chunks),
                sum(one.total_uncompressed_size for one in chunks),
            )
            assert held_by(tmp_path / "whole.parquet", columns) == wanted


def test_rows_that_are_named_outside_are_left_out(tmp_path):
    """They would be the names of files, were they encoded and decoded."""
    names = ["../up", "good", "/etc/passwd", "deep/../../up"]
    table = arrow.table({"name": names, "vector": [[1.0, 2.0]] * 4})
    parquet.write_table(table, tmp_path / "vectors.parquet")
    with pytest.warns(CodewordWarning, match="names of the column name"):
        stream = VectorStream(tmp_path / "vectors.parquet")
    assert [name for name, _ in stream] == ["good"]
    assert [one.path for one in stream.skipped] == ["0", "2", "3"]


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
