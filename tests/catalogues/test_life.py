"""Catalogues in their life: no ID that was given moves, none is given twice, and the order of calls is no matter."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codeword import CodewordError, checkpoints
from codeword.tokens import read_tokens
from codeword.workbench.semantic_ids.catalogue import Catalogue
from codeword.workbench.semantic_ids.changes import append, read_names, retire
from codeword.workbench.semantic_ids.refresh import refresh
from codeword.workbench.semantic_ids.semantic_ids import FitConfig, KMeansConfig, fit_vectors, write_fit
from codeword.workbench.training.run import Run

from .conftest import ids_of, make, save_items

pytestmark = pytest.mark.filterwarnings("ignore:.*vectors of the column:codeword.errors.CodewordWarning")
SPECS = st.sampled_from(
    ["rvq2x2", "rvq3x2", "vq4", "gvq2x3", "rvq2x4", "vq4,cosine", "gvq2x3,projected=true"]
)


def rows_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def books_of(catalogue: Catalogue) -> list[np.ndarray]:
    quantizer = catalogue.tokenizer().quantizer
    parts = getattr(quantizer, "components", [quantizer])
    return [part.codebook.codes.double().numpy() for part in parts]


def in_order(
    spec: str, books: list[np.ndarray], row: np.ndarray, codes: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """All codes in the order in which an item should get them: by going through every one."""

    def ranks(other: tuple[int, ...]) -> tuple[int, ...]:
        left, found = row.astype(np.float64), []
        for level, code in enumerate(other):
            part = left if not spec.startswith("g") else row[2 * level : 2 * level + 2].astype(np.float64)
            distances = ((books[level] - part) ** 2).sum(1)
            if "cosine" in spec:
                distances = -(books[level] @ part) / np.linalg.norm(books[level], axis=1)
            found.append(int((distances < distances[code]).sum()))
            left = left - books[level][code] if not spec.startswith("g") else left
        return tuple(found)

    def shared(other: tuple[int, ...]) -> int:
        return next((n for n, (a, b) in enumerate(zip(codes, other, strict=True)) if a != b), len(codes))

    every = itertools.product(*(range(len(book)) for book in books))
    return sorted(every, key=lambda other: (-shared(other), ranks(other)))


@settings(max_examples=13, deadline=None)
@example("vq4,cosine", 4, False, [1, 1])
@example("gvq2x3,projected=true", 0, False, [4])
@given(SPECS, st.integers(0, 99), st.booleans(), st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_each_item_gets_the_nearest_free_id_and_none_moves(spec, seed, dedupe, parts):
    with tempfile.TemporaryDirectory() as place:
        catalogue = make(Path(place, "run"), spec, rows_of(seed, 3), dedupe=dedupe, seed=seed)
        digits, books = catalogue.manifest.digits, books_of(catalogue)
        taken = {(*row, 0)[: len(books) + 1] for row in ids_of(catalogue).values()}
        rows, first = rows_of(seed + 1, sum(parts)), 0
        for count in parts:
            known = ids_of(catalogue)
            some = rows[first : first + count]
            if len(books[0]) ** len(books) * digits - len(taken) < count:
                with pytest.raises(CodewordError, match="a free ID"):
                    append(
                        catalogue, save_items(Path(place, "x.parquet"), [f"x{n}" for n in range(count)], some)
                    )
                assert ids_of(Catalogue(Path(place, "run"))) == known
                return
            names = [f"{n}" for n in range(first, first + count)]
            done = append(catalogue, save_items(Path(place, "new.parquet"), names, some))
            catalogue = Catalogue(Path(place, "run"))
            now = ids_of(catalogue)
            assert {name: now[name] for name in known} == known
            assert len(now) == len(known) + count == done["items"] == len(catalogue)
            own = catalogue.tokenizer().encode(torch.from_numpy(some)).reshape(count, -1).tolist()
            turn = catalogue.tokenizer().quantizer.project_in
            if turn is not None:
                weight, bias = (one.detach().double().numpy() for one in (turn.weight, turn.bias))
            seen = some if turn is None else some @ weight.T + bias
            for name, row, codes in zip(names, seen, own, strict=True):
                order = in_order(spec, books, row, tuple(codes))
                free = ((*codes, digit) for codes in order for digit in range(digits))
                expected = next(one for one in free if one not in taken)
                taken.add(expected)
                assert now[name] == (expected if digits > 1 else expected[:-1])
            first += count


@settings(max_examples=8, deadline=None)
@given(SPECS, st.integers(0, 99), st.lists(st.integers(0, 6), max_size=3), st.booleans())
def test_any_split_of_an_append_gives_the_same_ids(spec, seed, cuts, dedupe):
    rows, names = rows_of(seed + 7, 6), [f"{n}" for n in range(6)]
    if (
        len(rows) + 2
        > int(re.search(r"x?(\d)(,|$)", spec)[1]) ** (1 if spec.startswith("vq") else int(spec[3]))
        and not dedupe
    ):
        return  # more than fit
    with tempfile.TemporaryDirectory() as place:
        found = []
        for number, ends in enumerate(([6], sorted({*cuts, 6} - {0}))):
            folder = Path(place, f"run{number}")
            catalogue, first = make(folder, spec, rows_of(seed, 2), dedupe=dedupe, seed=seed), 0
            for end in ends:
                append(catalogue, save_items(Path(place, "new.parquet"), names[first:end], rows[first:end]))
                catalogue, first = Catalogue(folder), end
            found.append(ids_of(catalogue))
        assert found[0] == found[1]
        assert len(set(found[0].values())) >= 6


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 99), st.lists(st.sampled_from(["append", "reuse", "retire", "raise"]), max_size=5))
def test_whatever_happens_ids_stay_and_are_unlike(seed, actions):
    draw = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as place:
        folder, count = Path(place, "run"), 0
        catalogue = make(folder, "rvq2x2", rows_of(seed, 5), seed=seed)
        retired = dict[str, tuple[int, ...]]()
        for action in actions:
            known = ids_of(catalogue)
            if action == "retire":
                gone = [name for name in known if draw.random() < 0.5]
                if not gone:
                    continue
                retire(catalogue, gone)
                retired |= {name: known.pop(name) for name in gone}
                assert ids_of(Catalogue(folder)) == known
            else:
                names = [f"{n}" for n in range(count, count + 4)]
                count += 4
                digits = 2 * catalogue.manifest.digits if action == "raise" else None
                vectors = save_items(Path(place, "new.parquet"), names, draw.normal(size=(4, 4)))
                append(catalogue, vectors, reuse=action == "reuse", digits=digits)
                now = ids_of(Catalogue(folder))
                assert {name: now[name] for name in known} == known
                if action == "reuse":
                    retired = {name: one for name, one in retired.items() if one not in now.values()}
                assert not {now[name] for name in names} & set(retired.values())
            catalogue = Catalogue(folder)
            now = ids_of(catalogue)
            assert len(set(now.values())) == len(now) == len(catalogue)


def test_killed_at_every_write_a_generation_is_whole(tmp_path):
    before = ids_of(make(tmp_path / "run", "rvq2x2", rows_of(0, 5)))
    vectors = save_items(tmp_path / "new.parquet", list("abc"), rows_of(1, 3))
    (tmp_path / "straight").mkdir()
    for file in (tmp_path / "run").iterdir():
        os.link(file, tmp_path / "straight" / file.name)
    append(Catalogue(tmp_path / "straight"), vectors)
    after = ids_of(Catalogue(tmp_path / "straight"))
    codes = []
    for kill in itertools.count():
        if (child := os.fork()) == 0:
            _append_and_die(tmp_path, kill)
        codes.append(os.waitpid(child, 0)[1])
        found = ids_of(Catalogue(tmp_path / "run"))
        if codes[-1] == 0 or found == after:
            break
        assert found == before
    assert len(codes) == 4  # before and after the file, before the manifest, after it
    assert found == after
    kept = [json.loads((tmp_path / run / "catalogue.json").read_text()) for run in ("run", "straight")]
    assert kept[0] == kept[1]


def _append_and_die(place: Path, kill: int) -> None:
    from codeword.workbench.data.vectors import VectorStream

    die_at(kill, lambda: append(Catalogue(place / "run"), VectorStream(place / "new.parquet")))


def die_at(kill: int, work: Callable[[], object]) -> None:
    """In a process of its own: at the kill-th moment before or after a file takes its name."""
    moments, replace = itertools.count(), os.replace

    def deadly(*paths: object) -> None:
        if next(moments) == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)
        if next(moments) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = deadly
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize(("work", "files"), [("fit", 5), ("refresh", 7)])
def test_a_new_folder_that_is_killed_at_every_write(tmp_path, work, files):
    old = make(tmp_path / "run", "rvq2x2", rows_of(0, 5))
    vectors = save_items(tmp_path / "new.parquet", [*list("ab"), "old 1", "old 3"], rows_of(1, 4))
    before = {file.name: file.read_bytes() for file in old.folder.iterdir()}
    config = FitConfig("rvq2x2", dedupe=True, kmeans=KMeansConfig(tries=1))

    def again(out: Path) -> None:
        run = Run(out)
        with run.claimed():
            run.check_free()
            if work == "refresh":
                refresh(old, vectors, out, config, untracked)
            else:
                write_fit(out, vectors, config, fit_vectors(vectors, config, untracked), untracked)

    again(tmp_path / "straight")
    straight = {file.name: file.read_bytes() for file in (tmp_path / "straight").iterdir()}
    assert len(straight) == files
    for kill in itertools.count():
        out = tmp_path / f"{kill}"
        if (child := os.fork()) == 0:
            die_at(kill, lambda out=out: again(out))
        ended_well = os.waitpid(child, 0)[1] == 0
        assert {file.name: file.read_bytes() for file in old.folder.iterdir()} == before
        if kill < 2 * files - 1:  # before the weights, which are the last
            with pytest.raises(CodewordError, match="catalogue"):
                Catalogue(out)
            with pytest.raises(CodewordError, match="a run folder|model.safetensors"):
                checkpoints.load(out)
            again(out)
        assert {file.name: file.read_bytes() for file in out.iterdir()} == straight
        if ended_well:
            break
    assert kill == 2 * files


def untracked(blocks: object, what: str) -> object:
    return blocks


def test_what_is_refused(tmp_path):
    catalogue = make(tmp_path / "run", "rvq2x2", rows_of(0, 5))
    make(tmp_path / "other", "rvq2x2", rows_of(0, 5), seed=1)

    def refused(said: str, work: object, *words: object, **named: object) -> None:
        with pytest.raises(CodewordError, match=said):
            work(*words, **named)

    new = save_items(tmp_path / "new.parquet", ["a", "b"], rows_of(1, 2))
    wide = save_items(tmp_path / "wide.parquet", ["a", "b"], np.ones((2, 5)))
    refused("vectors of 4 numbers, .* but got 5", append, catalogue, wide)
    twice = save_items(tmp_path / "twice.parquet", ["a", "a"], rows_of(1, 2))
    refused("each item once, but got 'a' again", append, catalogue, twice)
    known = save_items(tmp_path / "known.parquet", ["a", "old 3"], rows_of(1, 2))
    refused("does not have, but got 'old 3'; .*--names", append, catalogue, known)
    refused("a capacity of at least 256", append, catalogue, new, digits=2)
    refused("a capacity of at most 2305843009213693952", append, catalogue, new, digits=2**61 + 1)
    refused("but got 'x' and 1 more, without an ID", retire, catalogue, ["old 1", "x", "y"])
    refused("each item once", retire, catalogue, ["old 1", "old 1"])
    refused("names of items to retire, but got none", retire, catalogue, [])

    def unread(blocks: object, what: str) -> object:
        assert what == "looking at names"  # what cannot be is said before the fit
        return blocks

    for spec, said in (
        ("gvq2x(rvq2x2)", "to rename codes, but got gvq2x"),
        ("rvq2x4", r"codebooks of \(2, 2\) codes, .* but got \(4, 4\)"),
        ("rvq2x2", "vectors of items that .* has, by their names, but got none"),
    ):
        refused(said, refresh, catalogue, new, tmp_path / "next", FitConfig(spec), unread)
    plain = make(tmp_path / "plain", "rvq2x4", rows_of(0, 2), dedupe=False)
    refused("have one more token", append, plain, new, digits=4)
    refused("a catalogue in .*nothing, with catalogue.json, but got none", Catalogue, tmp_path / "nothing")
    (tmp_path / "run/model.safetensors").write_bytes((tmp_path / "other/model.safetensors").read_bytes())
    (tmp_path / "run/config.json").write_bytes((tmp_path / "other/config.json").read_bytes())
    refused("the tokenizer .* of the IDs .* but got another one", append, catalogue, new)
    (tmp_path / "run/ids.parquet").write_bytes((tmp_path / "other/ids.parquet").read_bytes())
    refused("generation 1 of .* but got IDs of another tokenizer", Catalogue, tmp_path / "run")
    (tmp_path / "run/ids.parquet").unlink()
    refused("generation 1 of .* but got no such file; restore it", Catalogue, tmp_path / "run")
    assert read_tokens(tmp_path / "other/ids.parquet").header.tokenizer == checkpoints.stored_digest(
        tmp_path / "other"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "a catalogue of version 1, but got 2"),
        ({"digits": 0}, "a damaged one"),
        ({"codebook_sizes": []}, "a damaged one"),
        ({"generations": []}, "a damaged one"),
        ({"more": 1}, "a damaged one"),
    ],
)
def test_manifests_that_nobody_wrote(tmp_path, change, said):
    make(tmp_path / "run", "rvq2x2", rows_of(0, 5))
    values = json.loads((tmp_path / "run/catalogue.json").read_text()) | change
    (tmp_path / "run/catalogue.json").write_text(json.dumps(values))
    with pytest.raises(CodewordError, match=said):
        Catalogue(tmp_path / "run")
    for content in (b"", b"[]", b"\xff"):
        (tmp_path / "run/catalogue.json").write_bytes(content)
        with pytest.raises(CodewordError, match="a damaged one"):
            Catalogue(tmp_path / "run")


def test_names_in_a_text_file(tmp_path):
    (tmp_path / "a.txt").write_text("b\n\nä c\r\n", encoding="utf-8")
    assert read_names(tmp_path / "a.txt") == ["b", "ä c"]
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(CodewordError, match="a text file of names"):
        read_names(tmp_path / "a.txt")
