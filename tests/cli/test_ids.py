"""`codeword ids`: a catalogue from its first day on, read with pandas."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from sklearn.datasets import load_digits

from codeword.cli import main
from codeword.tokens import IdVocabulary, PrefixTrie
from schemas import check

DIGITS = load_digits().data.astype(np.float32)
NAMES = [f"item-{n}" for n in range(1797)]
QUICK = ["--tries", "1", "--steps", "10"]


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, which is the current one, with items of three days."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0]
    days = {"old": DIGITS[:1200], "new": DIGITS[1200:], "turned": (DIGITS @ turn).astype(np.float32)[::-1]}
    names = {"old": NAMES[:1200], "new": NAMES[1200:], "turned": NAMES[::-1]}
    for day, rows in days.items():
        parquet.write_table(pa.table({"item_id": names[day], "vector": list(rows)}), f"{day}.parquet")


def ids_of(file: str) -> dict[str, tuple[int, ...]]:
    table = pd.read_parquet(file)
    return dict(zip(table.name, map(tuple, table.tokens), strict=True))


def done(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    check(" ".join(words[:2]), found)
    return found


def test_items_come_and_go(capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "old.parquet", "--out", "run", "--quantizer", "rvq2x16", *QUICK, "--dedupe"]
    assert main(fit) == 0
    first = Path("run/ids.parquet").read_bytes()
    found = done(capsys, "ids", "append", "run", "new.parquet")
    assert (found["generation"], found["appended"], found["items"]) == (2, 597, 1797)
    assert Path("run/ids.parquet").read_bytes() == first
    ids = ids_of("run/ids.parquet") | ids_of("run/ids-00002.parquet")
    assert len(ids) == len(set(ids.values())) == 1797
    assert main(["encode", "run", "new.parquet", "--out", "t.parquet"]) == 0
    codes = ids_of("t.parquet")
    assert {name: one[:-1] for name, one in ids.items() if name in codes} == codes
    own = pd.DataFrame([*ids.values()])
    assert own[2].tolist() == own.groupby([0, 1]).cumcount().tolist()  # as if all had come at once
    Path("gone.txt").write_text("item-3\nitem-1300\n")
    assert done(capsys, "ids", "retire", "run", "gone.txt")["items"] == 1795
    assert main(["ids", "retire", "run", "gone.txt"]) == 2
    assert "without an ID" in capsys.readouterr().err
    assert main(["ids", "append", "run", "new.parquet"]) == 2
    assert "'item-1200' and 595 more" in capsys.readouterr().err
    assert main(["decode", "run", "run/ids-00002.parquet", "--out", "back.npy"]) == 0
    assert np.load("back.npy").shape == (597, 64)


def test_new_embeddings_keep_old_ids_where_they_can(capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "old.parquet", "--out", "run", "--quantizer", "rvq2x16", *QUICK, "--dedupe"]
    assert main(fit) == 0
    before = {file: file.read_bytes() for file in Path("run").iterdir()}
    found = done(capsys, "ids", "refresh", "run", "turned.parquet", "--out", "next")
    assert {file: file.read_bytes() for file in Path("run").iterdir()} == before
    assert found["churn"]["items"] == {"kept": 1200, "new": 597, "gone": 0}
    old, new = ids_of("run/ids.parquet"), ids_of("next/ids.parquet")
    assert len(new) == len(set(new.values())) == 1797
    churn = found["churn"]
    assert json.loads(Path("next/refresh.json").read_text()) == churn
    report = done(
        capsys, "ids", "report", "next", "--data", "turned.parquet", "--queries", "50", "--out", "ids.html"
    )
    assert report["churn"] == churn
    assert report["ids"]["uniquely_identified"] == 1
    assert report["neighbours"]["kept"][0] > report["neighbours"]["kept"][1] > 0
    assert "<table>" in Path("ids.html").read_text()
    kept = np.mean([new[name][0] == one[0] for name, one in old.items()])
    assert churn["with_renaming"]["prefixes_kept"][0] == pytest.approx(kept)
    assert kept > 0.6 > 0.3 > churn["without_renaming"]["prefixes_kept"][0]
    moved = pd.read_parquet("next/moved.parquet")
    assert set(moved.name) == {name for name, one in old.items() if new[name] != one}
    assert [tuple(one) for one in moved.before] == [old[name] for name in moved.name]
    assert [tuple(one) for one in moved.after] == [new[name] for name in moved.name]
    assert main(["encode", "next", "turned.parquet", "--out", "t.parquet"]) == 0
    assert ids_of("t.parquet") == {name: one[:-1] for name, one in new.items()}
    assert main(["ids", "append", "next", "new.parquet"]) == 2  # they are there
    manifest = json.loads(Path("next/catalogue.json").read_text())
    assert [(one["number"], one["action"]) for one in manifest["generations"]] == [(2, "refresh")]
    assert main(["ids", "refresh", "run", "turned.parquet", "--out", "next"]) == 2
    assert "a folder without a run" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_catalogue_for_a_model(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "old.parquet", "--out", "run", "--quantizer", "rvq2x16", *QUICK, "--dedupe"]
    assert main(fit) == 0
    Path("gone.txt").write_text("item-3\n")
    assert main(["ids", "retire", "run", "gone.txt"]) == 0
    words = ["ids", "export", "run", "--out", "out", "--format", form, "--special", "<eos>", "--first", "50"]
    found = done(capsys, *words)
    assert (found["items"], found["different"], found["words"]) == (1199, 1199, 1 + 16 + 16 + 256)
    read = pd.read_parquet if form == "parquet" else partial(pd.read_json, lines=True)
    table = read(f"out/items.{form}")
    ids = ids_of("run/ids.parquet")
    del ids["item-3"]
    assert dict(zip(table.item_id, map(tuple, table.tokens), strict=True)) == ids
    vocabulary, trie = IdVocabulary.load("out/vocabulary.json"), PrefixTrie.load("out/trie.safetensors")
    assert np.array_equal(np.stack(table.words) - [51, 67, 83], np.stack(table.tokens))
    assert [vocabulary.parse(text) for text in table.id] == [*ids.values()]
    assert all(one in trie for one in ids.values())
    assert ids_of("run/ids.parquet")["item-3"] not in trie
    assert main(words) == 2
    assert "a folder that is new or empty" in capsys.readouterr().err


def test_rows_without_names_are_no_new_items(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("some.npy", DIGITS[:300])
    assert main(["fit", "some.npy", "--out", "run", "--quantizer", "vq16", *QUICK]) == 0
    capsys.readouterr()
    for data, said in (("some.npy", "'0' and 299 more; leave out"), ("none.npy", "nothing there")):
        assert main(["ids", "append", "run", data]) == 2
        assert said in capsys.readouterr().err
    assert main(["ids", "append", "nowhere", "some.npy"]) == 2
    assert "a catalogue in nowhere" in capsys.readouterr().err
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    "spec", ["vq16,cosine", "vq16,entropy_constrained(0.5)", "gvq2x4,projected=true", "qinco2x4,hidden=8"]
)
def test_a_year_of_each_kind_of_codes(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    """More items of one vector than there is room for, and a refresh whose IDs are those of `encode`."""
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    for day, table in {"old": rows, "same": rows[[0] * 260], "later": rows + 0.1}.items():
        names = [f"{'same' if day == 'same' else 'old'} {n}" for n in range(len(table))]
        parquet.write_table(pa.table({"item_id": names, "vector": list(table)}), f"{day}.parquet")
    assert main(["fit", "old.parquet", "--out", "run", "--quantizer", spec, "--dedupe", *QUICK]) == 0
    assert done(capsys, "ids", "append", "run", "same.parquet")["of_other_codes"] > 0
    ids = ids_of("run/ids.parquet") | ids_of("run/ids-00002.parquet")
    assert len(ids) == len(set(ids.values())) == 560
    assert main(["ids", "refresh", "run", "later.parquet", "--out", "next"]) == 0
    assert main(["encode", "next", "later.parquet", "--out", "t.parquet"]) == 0
    assert ids_of("t.parquet") == {name: one[:-1] for name, one in ids_of("next/ids.parquet").items()}
