"""`codeword fit`: codebooks and semantic IDs, read with pandas and beside FAISS."""

from __future__ import annotations

import json
import re
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from sklearn.datasets import load_digits

from codeword import checkpoints
from codeword.cli import main
from codeword.tokens import read_tokens

DIGITS = load_digits().data.astype(np.float32)
QUICK = ["--tries", "1", "--steps", "10"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, which is the current one, with the digits in `digits.npy`."""
    monkeypatch.chdir(tmp_path)
    np.save("digits.npy", DIGITS)
    return tmp_path


def ids_of(file: Path) -> np.ndarray:
    return np.stack(pd.read_parquet(file).tokens.tolist())


def share_that_collides(ids: np.ndarray) -> float:
    counts = pd.DataFrame(ids).groupby(list(range(ids.shape[1])))[0].transform("size")
    return float((counts > 1).mean())


def test_ids_distortion_and_collisions(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "digits.npy", "--out", "run", "--quantizer", "rvq3x32", *QUICK, "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {"path": "run", **json.loads(Path("run/fit.json").read_text())}
    assert [stage["bits"] for stage in report["stages"]] == [5, 10, 15]
    assert (report["vectors"], report["features"], report["fitted_to"]) == (1797, 64, 1797)
    table = pd.read_parquet("run/ids.parquet")
    assert table.name.tolist() == [str(n) for n in range(1797)]
    ids = ids_of(Path("run/ids.parquet"))
    assert ids.dtype == np.uint8
    model = checkpoints.load("run")
    codes = [stage.codebook.codes.double().numpy() for stage in model.quantizer.components]
    decoded = np.zeros_like(DIGITS, np.float64) + model.mean.numpy()
    for number, stage in enumerate(report["stages"]):
        decoded += codes[number][ids[:, number]] * float(model.scale)
        error = ((DIGITS - decoded) ** 2).mean()
        assert stage["error"] == pytest.approx(error, rel=1e-4)
        assert stage["relative"] == pytest.approx(error / DIGITS.astype(float).var(0).mean(), rel=1e-4)
    assert report["collisions"]["share"] == pytest.approx(share_that_collides(ids))
    assert report["collisions"]["distinct"] == len(np.unique(ids, axis=0))
    assert main(["encode", "run", "digits.npy", "--out", "tokens.parquet"]) == 0
    assert np.array_equal(ids_of(Path("tokens.parquet")), ids)
    assert main(["decode", "run", "run/ids.parquet", "--out", "back.npy"]) == 0
    np.testing.assert_allclose(np.load("back.npy"), decoded, atol=1e-4)


def test_a_fit_is_evaluated_in_json(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no networks, so no parameters."""
    assert main(["fit", "digits.npy", "--out", "run", "--quantizer", "vq16", *QUICK]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "digits.npy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["weights"] == "float32"


def test_no_worse_than_faiss(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["fit", "digits.npy", "--out", "run", "--quantizer", "rvq4x64", "--tries", "1", "--json"]) == 0
    )
    stages = json.loads(capsys.readouterr().out)["stages"]
    theirs = faiss.ResidualQuantizer(64, 4, 6)
    theirs.max_beam_size = 1
    theirs.train(DIGITS)
    error = ((theirs.decode(theirs.compute_codes(DIGITS)) - DIGITS) ** 2).mean()
    assert stages[-1]["error"] < error


def test_a_beam_is_used_by_encode_too(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = {}
    for beam in ("1", "8"):
        words = ["fit", "digits.npy", "--out", f"run{beam}", "--quantizer", "rvq4x16", "--beam", beam, *QUICK]
        assert main([*words, "--json"]) == 0
        errors[beam] = json.loads(capsys.readouterr().out)["stages"][-1]["error"]
        assert main(["encode", f"run{beam}", "digits.npy", "--out", "t.parquet"]) == 0
        assert np.array_equal(ids_of(Path("t.parquet")), ids_of(Path(f"run{beam}/ids.parquet")))
        assert main(["decode", f"run{beam}", "t.parquet", "--out", "back.npy"]) == 0
        capsys.readouterr()
        assert ((np.load("back.npy") - DIGITS) ** 2).mean() == pytest.approx(errors[beam], rel=1e-4)
    assert errors["8"] < errors["1"]


@pytest.mark.parametrize("spec", ["rvq2x16", "gvq2x(rvq2x3)", "vq50"])
def test_one_more_token_makes_all_ids_differ(
    digits: Path, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "digits.npy", "--out", "run", "--quantizer", spec, *QUICK, "--dedupe"]) == 0
    assert "makes all IDs differ" in capsys.readouterr().out
    ids = ids_of(Path("run/ids.parquet"))
    own = pd.DataFrame(ids[:, :-1])
    assert np.array_equal(ids[:, -1], own.groupby(list(own.columns)).cumcount())
    assert share_that_collides(ids[:, :-1]) > 0.5
    assert len(np.unique(ids, axis=0)) == 1797
    header = read_tokens("run/ids.parquet").header
    assert header.codebook_sizes[-1] == ids[:, -1].max() + 1
    assert main(["encode", "run", "digits.npy", "--out", "t.parquet"]) == 0
    for tokens in ("run/ids.parquet", "t.parquet"):
        assert main(["decode", "run", tokens, "--out", "back.npy"]) == 0
        Path("back.npy").rename(f"{Path(tokens).stem}.npy")
    assert np.array_equal(np.load("ids.npy"), np.load("t.npy"))


def test_balancing_leaves_as_few_collisions_as_codes_allow(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", "digits.npy", "--out", "run", "--quantizer", "rvq3x16", *QUICK, "--balance", "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    ids = ids_of(Path("run/ids.parquet"))
    assert main(["encode", "run", "digits.npy", "--out", "t.parquet"]) == 0
    before = ids_of(Path("t.parquet"))
    assert np.array_equal(ids[:, :-1], before[:, :-1])
    prefixes = np.unique(ids[:, :-1], axis=0, return_counts=True)[1]
    assert len(np.unique(ids, axis=0)) == np.minimum(prefixes, 16).sum() == report["balanced"]["distinct"]
    assert report["collisions"]["distinct"] == len(np.unique(before, axis=0)) < report["balanced"]["distinct"]


def test_names_and_bad_rows_of_parquet(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(DIGITS[:300])
    rows[7], rows[9] = rows[7][:5], np.full(64, np.nan, np.float32)
    names = [f"item {n}" for n in range(300)]
    parquet.write_table(pa.table({"id": names, "vector": rows}), "items.parquet", row_group_size=64)
    assert main(["fit", "items.parquet", "--out", "run", "--quantizer", "rvq2x8", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "300 vectors of 64 numbers" in said
    assert "item 7: 5 numbers, others have 64" in said
    assert "item 9: not finite" in said
    table = pd.read_parquet("run/ids.parquet")
    assert table.name.tolist() == [name for n, name in enumerate(names) if n not in (7, 9)]
    assert main(["fit", "items.parquet", "--out", "new", "--quantizer", "rvq2x8", "--strict"]) == 2
    assert "item 7" in capsys.readouterr().err
    assert not Path("new").exists()


def test_columns_and_names_that_are_named(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {f"d{n}": DIGITS[:, n] for n in range(64)}
    table = pa.table({"price": DIGITS[:, 0], "sku": range(1797), "name": ["same"] * 1797, **columns})
    parquet.write_table(table, "items.parquet")
    words = ["--quantizer", "vq20", *QUICK]
    assert main(["fit", "items.parquet", "--out", "a", *words]) == 2
    assert (
        "name them: items.parquet::d*, or, of fit, train, encode and ids, --columns 'd*'"
        in capsys.readouterr().err
    )
    words += ["--names", "sku"]
    assert main(["fit", "items.parquet", "--out", "a", "--columns", "d*", *words]) == 0
    said = "columns d0 ... d63 (64); names of the column sku; left out: price, name"
    assert f"codeword: note: items.parquet: vectors of the {said}\n" in capsys.readouterr().err
    assert main(["fit", "digits.npy", "--out", "b", *words[:-2]]) == 0
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()
    assert Path("a/ids.parquet").read_bytes() == Path("b/ids.parquet").read_bytes()


def test_fitting_to_some_of_the_rows(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "digits.npy", "--quantizer", "vq20", "--rows", "100", *QUICK, "--json"]
    found = []
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert main([*words, "--out", out, "--seed", seed]) == 0
        report = json.loads(capsys.readouterr().out)
        found.append(report["stages"][0]["error"])
        assert (report["fitted_to"], report["vectors"]) == (100, 1797)
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["none.npy"], ["vectors at none.npy", "nothing there"]),
        (["notes.txt"], ["suffix of .npy"]),
        (["ids.npy"], ["int64", "astype"]),
        (["nan.npy"], ["3 that cannot", "not finite"]),
        (["digits.npy", "--quantizer", "fsq8-5-5"], ["fsq8-5-5"]),
        (["digits.npy", "--quantizer", "gvq3x16"], ["64", "3"]),
        (["digits.npy", "--quantizer", "rpq16"], ["rpq16"]),
        (["digits.npy", "--quantizer", "multiscale2x16,sizes=(1,2)"], ["multiscale2x16", "Euclidean metric"]),
        (["digits.npy", "--quantizer", "vqx"], ["vq"]),
        (
            ["digits.npy", "--quantizer", "vq2000"],
            ["2000 vectors, for the 2000 codes", "got 1797", "--quantizer"],
        ),
        (["digits.npy", "--quantizer", "vq16", "--balance"], ["two stages", "--balance"]),
        (["digits.npy", "--quantizer", "rvq2x(gvq2x4)", "--balance"], ["gvq2x"]),
        (["digits.npy", "--quantizer", "vq16", "--beam", "2"], ["a beam", "--beam"]),
        (["digits.npy", "--rows", "200"], ["rows of at least 256", "--rows"]),
        (["digits.npy", "--tries", "0"], ["tries of at least 1"]),
        (["digits.npy", "--out", "old"], ["without a run", "old"]),
        (["twice.parquet", "--quantizer", "vq2"], ["each name once", "'a'"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_one_clear_line(
    digits: Path, words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes.txt").write_text("")
    np.save("ids.npy", np.zeros((4, 4), np.int64))
    np.save("nan.npy", np.full((3, 4), np.nan))
    table = pa.table({"id": ["a", "b", "a"], "v": [[1.0, 2], [3, 4], [5, 6]]})
    parquet.write_table(table, "twice.parquet")
    assert main(["fit", "digits.npy", "--out", "old", "--quantizer", "vq2", *QUICK]) == 0
    capsys.readouterr()
    out = [] if "--out" in words else ["--out", "new"]
    assert main(["fit", *words, *out]) == 2
    said = re.sub("codeword: note: .*\n", "", capsys.readouterr().err)
    assert said.startswith("codeword: ")
    assert all(line.startswith("  ") for line in said.splitlines()[1:])  # a caret under a spec
    for name in named:
        assert name in said
    assert not Path("new").exists() or not any(Path("new").iterdir())
