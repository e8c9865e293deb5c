"""train, encode, decode and evaluate on vectors, read with pandas and measured with NumPy."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from sklearn.datasets import load_digits

from codeword import checkpoints
from codeword.cli import main
from codeword.tokenizers import VectorTokenizer
from codeword.workbench.config import TrainConfig
from codeword.workbench.data.vector_batches import VectorBatches
from codeword.workbench.data.vectors import VectorStream
from codeword.workbench.modalities import kind_of_data, modality_of_tokenizer
from codeword.workbench.modalities.vectors import Vectors

DIGITS = load_digits().data.astype(np.float32)
TINY = [
    *("--steps", "12", "--batch", "32", "--width", "16", "--features", "4", "--blocks", "1"),
    *("--quantizer", "rvq2x16", "--threads", "1"),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on `digits.npy` beside it."""
    folder = tmp_path_factory.mktemp("vectors")
    np.save(folder / "digits.npy", DIGITS)
    assert main(["train", str(folder / "digits.npy"), "--out", str(folder / "run"), *TINY]) == 0
    return folder / "run"


@pytest.fixture
def place(tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, which is the current one, with `run` and `digits.npy`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_folder, "run")
    np.save("digits.npy", DIGITS)
    return tmp_path


def tokens_of(file: str | Path) -> np.ndarray:
    return np.stack(pd.read_parquet(file).tokens.tolist())


def test_from_vectors_to_tokens_and_back(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "run", "digits.npy", "--out", "t.parquet"]) == 0
    capsys.readouterr()
    assert main(["decode", "run", "t.parquet", "--out", "back.npy"]) == 0
    assert capsys.readouterr().out == "1797 vectors: back.npy\n"
    assert main(["decode", "run", "t.parquet", "--out", "back.parquet"]) == 0
    assert main(["decode", "run", "t.parquet", "--out", "deep/back"]) == 0
    model = checkpoints.load("run")
    assert isinstance(model, VectorTokenizer)
    with torch.no_grad():
        expected = model.encode(torch.from_numpy(DIGITS))
        decoded = model.decode(expected).numpy()
    assert np.array_equal(tokens_of("t.parquet"), expected.numpy())
    assert pd.read_parquet("t.parquet").name.tolist() == [str(n) for n in range(1797)]
    table = pd.read_parquet("back.parquet")
    assert table.name.tolist() == [str(n) for n in range(1797)]
    for found in (np.load("back.npy"), np.stack(table.vector.tolist()), np.load("deep/back/vectors.npy")):
        assert found.dtype == np.float32
        assert np.array_equal(found, decoded)


def test_evaluate_is_numpys(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run", "digits.npy"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1797 vectors of digits.npy; the first 10 by name:\n")
    model = checkpoints.load("run")
    with torch.no_grad():
        found = model(torch.from_numpy(DIGITS)).reconstruction.numpy().astype(float)
    x = DIGITS.astype(float)
    relative = ((x - found) ** 2).mean() / x.var(0).mean()
    cosine = (x * found).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(found, axis=1)
    total = said.splitlines()[-1].split()
    assert total[:4] == ["mean;", "codes", "of", "all"]
    assert float(total[4]) == pytest.approx(relative, abs=6e-5)
    assert float(total[5]) == 8
    assert float(total[6]) == pytest.approx(cosine.mean(), abs=6e-5)
    assert int(total[8]) == sum(len(set(column)) for column in tokens(model).T)


def tokens(model: VectorTokenizer) -> np.ndarray:
    return model.encode(torch.from_numpy(DIGITS)).numpy()


def test_every_kind_of_file_gives_the_same_tokens(place: Path) -> None:
    names = [f"item {n}" for n in range(1797)]
    parquet.write_table(pa.table({"name": names, "v": list(DIGITS)}), "a.parquet", row_group_size=500)
    np.savez("a.npz", DIGITS.astype(np.uint8))
    Path("deep").mkdir()
    for number, part in enumerate(np.array_split(DIGITS, 3)):
        np.save(f"deep/{number}.npy", part)
    for data in ("digits.npy", "a.parquet", "a.npz", "deep"):
        assert main(["encode", "run", data, "--out", f"{data}.tokens.parquet"]) == 0
        assert np.array_equal(tokens_of(f"{data}.tokens.parquet"), tokens(checkpoints.load("run")))
    assert pd.read_parquet("a.parquet.tokens.parquet").name.tolist() == names
    assert pd.read_parquet("deep.tokens.parquet").name.tolist()[598:601] == [
        "0.npy/598",
        "1.npy/0",
        "1.npy/1",
    ]


def test_columns_and_names_of_a_table_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame(DIGITS, columns=[f"d{n}" for n in range(64)]).assign(price=1.0)
    table.set_index(pd.Index(np.arange(7000, 8797), name="sku")).to_parquet("index.parquet")
    table.assign(name="same", sku=range(7000, 8797)).to_parquet("column.parquet", index=False)
    words = {"index.parquet": ["--columns", "d*"], "column.parquet": ["--columns", "d*", "--names", "sku"]}
    for (data, named), where in zip(words.items(), ("index", "column sku"), strict=True):
        assert main(["encode", "run", data, "--out", f"{data}.t.parquet", *named]) == 0
        assert f"names of the {where}; left out: price" in capsys.readouterr().err
        assert np.array_equal(tokens_of(f"{data}.t.parquet"), tokens(checkpoints.load("run")))
        assert pd.read_parquet(f"{data}.t.parquet").name.tolist() == [str(n) for n in range(7000, 8797)]
    train = ["--steps", "2", "--batch", "8", "--quantizer", "vq4"]
    assert main(["train", "column.parquet", "--out", "new", *words["column.parquet"], *train]) == 0
    assert json.loads(Path("new/train.json").read_text())["data"] == "column.parquet::d*::sku"
    assert main(["evaluate", "new", "column.parquet::d*::sku"]) == 0
    capsys.readouterr()
    for data, more, said in (
        ("column.parquet::d*", ["--columns", "d*"], "the columns once"),
        ("column.parquet::::sku", ["--names", "sku"], "the names once"),
        ("digits.npy", ["--names", "sku"], "a table in digits.npy"),
    ):
        assert main(["encode", "run", data, "--out", "x.parquet", *more]) == 2
        assert said in capsys.readouterr().err


def test_shards_are_the_rows_in_order(place: Path) -> None:
    rows = DIGITS.copy()
    rows[700:1300, 3] = np.nan
    rows[5, 5] = np.inf
    np.save("some.npy", rows)
    assert main(["encode", "run", "some.npy", "--out", "shards", "--shard-rows", "600"]) == 0
    files = sorted(Path("shards").glob("*.parquet"))
    assert [len(pd.read_parquet(file)) for file in files] == [599, 100, 497]
    kept = [n for n in range(1797) if not 700 <= n < 1300 and n != 5]
    table = pd.concat([pd.read_parquet(file) for file in files])
    assert table.name.tolist() == [str(n) for n in kept]
    assert np.array_equal(np.stack(table.tokens.tolist()), tokens(checkpoints.load("run"))[kept])


def test_training_learns_and_holds_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--quantizer", "rvq2x64", "--width", "64", "--steps", "150", "--batch", "64", "--threads", "1"]
    assert main(["train", "digits.npy", "--out", "learned", *words]) == 0
    said = capsys.readouterr().out
    assert "1618 vectors to train on, 179 held out" in said
    assert "one position for each vector" in said
    total = next(line for line in said.splitlines() if line.startswith("mean; codes of all"))
    assert float(total.split()[4]) < 0.5  # the mean of all vectors has 1
    assert Path("learned/picture.png").stat().st_size > 10_000


def test_a_stopped_run_goes_on_bit_for_bit(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("codeword.cli.training.draw_run", lambda *arguments: None)
    parquet.write_table(pa.table({"v": list(DIGITS[:300])}), "some.parquet", row_group_size=77)
    assert main(["train", "some.parquet", "--out", "whole", *TINY]) == 0
    batch_of = VectorBatches.batch

    def stop_in_step_five(self: VectorBatches, step: int) -> torch.Tensor:
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: the step is finished and saved
        return batch_of(self, step)

    with monkeypatch.context() as stopped:
        stopped.setattr(VectorBatches, "batch", stop_in_step_five)
        assert main(["train", "some.parquet", "--out", "halves", *TINY]) == 130
    assert "stopped at step 6 of 12" in capsys.readouterr().err
    assert main(["train", "some.parquet", "--out", "halves", "--resume"]) == 0
    weights = [Path(run, "model.safetensors").read_bytes() for run in ("whole", "halves")]
    assert weights[0] == weights[1]


def test_other_vectors_do_not_go_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("digits.npy", DIGITS + 1)
    settings = Path("run/train.json")
    stored = settings.read_text()
    settings.write_text(stored.replace(stored.split('"data": "')[1].split('"')[0], "digits.npy"))
    assert main(["train", "digits.npy", "--out", "run", "--resume"]) == 2
    assert "the vectors that the run in run was started with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["encode", "run", "wide.npy", "--out", "new.parquet"], ["vectors of 64 numbers", "65"]),
        (["encode", "run", "nan.npy", "--out", "new.parquet"], ["2 that cannot", "not finite"]),
        (["encode", "run", "run/train.json", "--out", "new.parquet"], ["suffix of .npy"]),
        (["encode", "run", "t.parquet", "--out", "new.parquet"], ["vectors in t.parquet", "tokens"]),
        (["decode", "run", "t.parquet", "--out", "new.txt"], ["NAME.npy or NAME.parquet", "new.txt"]),
        (["evaluate", "run", "wide.npy"], ["vectors of 64 numbers"]),
        (["train", "digits.npy", "--out", "new", "--stride", "4"], ["no stride for vectors", "--stride"]),
        (
            ["train", "digits.npy", "--out", "new", "--recipe", "image_small"],
            ["a recipe for vectors", "rqvae"],
        ),
        (["train", "digits.npy", "--out", "new", "--blocks", "0"], ["64 features where there is no network"]),
        (["train", "digits.npy", "--out", "new", "--quantizer", "vqx"], ["vq"]),
        (["train", "ids.npy", "--out", "new"], ["int64"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_one_clear_line(
    place: Path, words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("wide.npy", np.zeros((3, 65)))
    np.save("nan.npy", np.full((2, 64), np.nan))
    np.save("ids.npy", np.zeros((3, 64), np.int64))
    assert main(["encode", "run", "digits.npy", "--out", "t.parquet"]) == 0
    capsys.readouterr()
    before = set(place.rglob("*"))
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("codeword: ")
    for name in named:
        assert name in said
    assert set(place.rglob("*")) == before


def test_the_medium_of_vectors(place: Path) -> None:
    assert kind_of_data("digits.npy") is Vectors
    assert kind_of_data("digits.npy::a") is Vectors
    modality = modality_of_tokenizer(checkpoints.load("run"))
    assert isinstance(modality, Vectors)
    source = Vectors.of_data("digits.npy", TrainConfig()).source("digits.npy", TrainConfig())
    held_out = [int(name) for name, _ in source.held_out]
    assert len(held_out) == 179
    assert np.array_equal(np.stack([row for _, row in source.held_out]), DIGITS[held_out])
    assert np.array_equal(source.training.taken, ~np.isin(np.arange(1797), held_out))
    some = source.training[:8]
    assert [int(name) for name, _ in some] == [n for n in range(20) if n not in held_out][:8]
    np.save("one.npy", DIGITS[:1])
    alone = Vectors.of_data("one.npy", TrainConfig()).source("one.npy", TrainConfig())
    assert (len(alone.training), alone.held_out) == (1, [])
    assert VectorStream("one.npy").names[0] == "0"
