"""What is measured of IDs, beside pandas and NumPy in float64."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from codeword import CodewordError
from codeword.workbench.report import write_ids_page
from codeword.workbench.semantic_ids import partitions
from codeword.workbench.semantic_ids.catalogue import Catalogue
from codeword.workbench.semantic_ids.changes import retire
from codeword.workbench.semantic_ids.id_report import gini, measure_ids
from codeword.workbench.semantic_ids.neighbours import hashes_of, neighbours_kept

from .conftest import ids_of, make, save_items

pytestmark = pytest.mark.filterwarnings("ignore:.*vectors of the column:codeword.errors.CodewordWarning")
ROWS = np.random.default_rng(0).normal(size=(150, 4)).astype(np.float32)


@pytest.mark.parametrize("rows", [10**6, 20])
@pytest.mark.parametrize(("spec", "dedupe"), [("rvq3x4", True), ("rvq2x8", False), ("vq5", True)])
def test_the_figures_are_those_of_pandas(tmp_path, monkeypatch, spec, dedupe, rows):
    monkeypatch.setattr(partitions.parts_of, "__defaults__", (rows,))
    catalogue = make(tmp_path / "run", spec, ROWS, dedupe=dedupe)
    retire(catalogue, ["old 3", "old 77"])
    catalogue = Catalogue(tmp_path / "run")
    found, table = measure_ids(catalogue), pd.DataFrame([*ids_of(catalogue).values()])
    assert (found["items"], found["retired"], len(table)) == (148, 2, 148)
    codes = table.iloc[:, : len(catalogue.manifest.codebook_sizes)]
    for key, columns in (("ids", table), ("tokens_of_the_tokenizer", codes)):
        counts = columns.value_counts()
        one = found[key]
        assert one["different"] == len(counts)
        assert one["uniquely_identified"] == pytest.approx((counts == 1).sum() / 148)
        assert one["most_with_the_same"] == counts.max()
    for level, one in enumerate(found["levels"]):
        size = catalogue.manifest.sizes[level]
        counts = np.bincount(table[level], minlength=size)
        shares = counts[counts > 0] / 148
        assert (one["codes"], one["used"], one["dead"]) == (size, len(shares), size - len(shares))
        assert one["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())
        assert one["entropy_share"] == pytest.approx(one["entropy"] / np.log2(size))
        assert one["gini"] == pytest.approx(
            np.abs(np.subtract.outer(counts, counts)).mean() / 2 / counts.mean()
        )
        prefixes = table[[*range(level + 1)]].value_counts()
        children = Counter(prefix[:-1] for prefix in prefixes.index)
        assert one["prefixes"] == len(prefixes)
        assert one["fan_out"] == pytest.approx(np.mean([*children.values()]))
        assert one["most_fan_out"] == max(children.values())
        assert (one["items"], one["most_items"]) == (pytest.approx(prefixes.mean()), prefixes.max())
    occupancy = codes.value_counts()
    assert sum(one["ids"] for one in found["occupancy"]) == len(occupancy)
    alone = sum(one["ids"] for one in found["occupancy"] if one["items"] == "1")
    few = sum(one["ids"] for one in found["occupancy"] if one["items"] in ("1", "2", "3 to 4"))
    assert (alone, few) == ((occupancy == 1).sum(), (occupancy <= 4).sum())
    assert found["churn"] is None
    assert [one["action"] for one in found["generations"]] == ["fit", "retire"]


def test_neighbours_are_those_of_numpy(tmp_path):
    catalogue = make(tmp_path / "run", "rvq2x4", ROWS)
    vectors = save_items(tmp_path / "v.parquet", [f"old {n}" for n in range(150)], ROWS)
    found = neighbours_kept(catalogue, vectors, queries=40, k=7)
    ids = np.array([*ids_of(catalogue).values()])
    distances = ((ROWS[:, None].astype(float) - ROWS) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    asked = np.argsort(hashes_of([f"old {n}" for n in range(150)]))[:40]
    near = distances[asked].argsort(1)[:, :7]
    same = np.logical_and.accumulate(ids[near] == ids[asked][:, None], axis=2)
    assert found["queries"], found["k"] == (40, 7)
    assert found["kept"] == pytest.approx(same.mean((0, 1)).tolist())
    mixed = np.random.default_rng(1).permutation(150)
    other = save_items(tmp_path / "w.parquet", [f"old {n}" for n in mixed], ROWS[mixed])
    blocks = other.blocks
    other.blocks = lambda: blocks(13)
    assert neighbours_kept(catalogue, other, queries=40, k=7) == found
    retire(catalogue, [f"old {n}" for n in asked[:39]])
    left = neighbours_kept(Catalogue(tmp_path / "run"), vectors, queries=40, k=7)
    assert left["queries"] == 1
    strange = save_items(tmp_path / "x.parquet", ["x", "y"], ROWS[:2])
    with pytest.raises(CodewordError, match="by their names, but got no two"):
        neighbours_kept(catalogue, strange)
    with pytest.raises(CodewordError, match="k of at least 1"):
        neighbours_kept(catalogue, vectors, k=0)


def test_gini_and_hashes():
    assert gini(np.zeros(3)) == 0
    assert len(np.unique(hashes_of(map(str, range(1000))))) == 1000
    assert not np.array_equal(hashes_of(["a"], 1), hashes_of(["a"]))


def test_a_page_shows_all_tables_and_runs_nothing(tmp_path):
    catalogue = make(tmp_path / "run", "rvq2x4", ROWS)
    vectors = save_items(tmp_path / "v.parquet", [f"old {n}" for n in range(150)], ROWS)
    kept = {"prefixes_kept": [0.5, 0.25]}
    churn = {"items": {"kept": 9}, "moved": 4, "without_renaming": kept, "with_renaming": kept}
    neighbours = neighbours_kept(catalogue, vectors, queries=40)
    report = measure_ids(catalogue) | {"neighbours": neighbours, "churn": churn}
    write_ids_page("<script>", report, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<h1>&lt;script&gt;</h1>" in page
    assert page.count("<table>") == 7
    assert page.count("<svg viewBox") == 3
    assert "<script" not in page
    assert json.loads(json.dumps(report)) == report


def test_nothing_to_measure(tmp_path):
    catalogue = make(tmp_path / "run", "rvq2x4", ROWS[:2])
    retire(catalogue, ["old 0", "old 1"])
    with pytest.raises(CodewordError, match="none: all are retired"):
        measure_ids(Catalogue(tmp_path / "run"))
