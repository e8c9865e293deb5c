"""`codeword fit` by several processes, and in passes: the bits of one process, and of a run that was never stopped."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, chdir, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

import codeword
from codeword import CodewordError
from codeword.cli import main
from codeword.fitting.passes import Tally, stages_to_pass
from codeword.workbench.data import vectors as streams
from codeword.workbench.semantic_ids import crew as crews
from codeword.workbench.semantic_ids import full_passes
from codeword.workbench.semantic_ids.crew import Crew
from codeword.workbench.semantic_ids.survey import survey
from codeword.workbench.semantic_ids.tracked import Tracked
from ranks import Ranks

RUN = """
import os, sys
from codeword.cli import main
from codeword.workbench.data import vectors
vectors.NUMBERS = 4096
for port, words in {fits!r}:
    os.environ["MASTER_PORT"] = port
    if code := main(words):
        sys.exit(code)
"""
WORDS = [
    "--quantizer",
    "rvq2x8",
    "--tries",
    "1",
    "--steps",
    "5",
    "--rows",
    "700",
    "--dedupe",
    "--passes",
    "2",
]


@pytest.fixture(autouse=True)
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A folder, which is the current one, with 3,000 vectors in three files; blocks of them are small."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streams, "NUMBERS", 4096)
    rows = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32) ** 3
    rows[17, 3] = np.nan
    Path("items").mkdir()
    for number, part in enumerate(np.split(rows, [1900, 2000])):
        np.save(f"items/{number}.npy", part)
    return rows


def fit_together(count: int, more: dict[str, list[str]]) -> None:
    """As torchrun would start them: a fit for each folder, with more words, one after the other."""
    with ExitStack() as bound:
        ports = [bound.enter_context(socket.socket()) for _ in more]
        for port in ports:
            port.bind(("localhost", 0))
        fits = [
            (str(port.getsockname()[1]), ["fit", "items", "--out", out, *WORDS, *words])
            for port, (out, words) in zip(ports, more.items(), strict=True)
        ]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RUN.format(fits=fits)],
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_RANK": str(rank),
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "localhost",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [one.communicate(timeout=300) for one in started]
    assert [one.returncode for one in started] == [0] * count, said
    assert said[0][0].count("fitted to 700 of 2999") == len(more)
    lines = [line for out, _ in said[1:] for line in out.splitlines()]
    assert all(line.startswith("[Gloo]") for line in lines), (
        lines
    )  # torch 2.7 and 2.8 say that ranks are connected
    assert ["left out" in one for _, one in said] == [False] * count


MORE: dict[str, list[str]] = {"plain": [], "shared": ["--shared"]}


class Member(Crew):
    """One of the processes of a group that outlives it."""

    def part(self) -> None:
        pass


def fit_as_one_of_four(rank: int, place: str) -> list[str]:
    said = []
    with (
        mock.patch.object(crews, "start_crew", return_value=Member(rank, 4)),
        mock.patch.object(streams, "NUMBERS", 4096),
        chdir(place),
    ):
        for out, words in MORE.items():
            with redirect_stdout(io.StringIO()) as stream:
                assert main(["fit", "items", "--out", out, *WORDS, *words]) == 0
            said.append(stream.getvalue())
    return said


def same_as_alone() -> None:
    for out, words in MORE.items():
        assert main(["fit", "items", "--out", f"{out} alone", *WORDS, *words]) == 0
        same_files(f"{out} alone", out)


def test_four_processes_come_to_the_bits_of_one(ranks: Ranks, tmp_path: Path) -> None:
    said = ranks.run(fit_as_one_of_four, str(tmp_path))
    assert all("fitted to 700 of 2999" in one for one in said[0])
    assert said[1:] == [["", ""]] * 3
    same_as_alone()


@pytest.mark.slow  # as above, but for how the processes find each other, which costs each a torch and a compiler
@pytest.mark.parametrize("count", [2, 4])
def test_launched_processes_come_to_the_bits_of_one(count: int) -> None:
    fit_together(count, MORE)
    same_as_alone()


@pytest.mark.slow  # a cluster takes as long to start as all other tests of this file
def test_workers_of_ray_come_to_the_bits_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(streams, "NUMBERS", 2**22)  # its workers do not know of smaller blocks
    assert main(["fit", "items", "--out", "alone", *WORDS, "--shared"]) == 0
    words = ["--shared", "--engine", "ray", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "codeword", "fit", "items", "--out", "together", *WORDS, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "fitted to 700 of 2999" in done.stdout
    same_files("alone", "together")


def same_files(one: str, other: str) -> None:
    assert {file.name for file in Path(one).iterdir()} == {file.name for file in Path(other).iterdir()}
    for file in Path(one).iterdir():
        assert (Path(other) / file.name).read_bytes() == file.read_bytes(), file.name


def test_passes_make_the_error_of_all_smaller(capsys: pytest.CaptureFixture[str]) -> None:
    errors = []
    for passes in ("0", "3"):
        assert main(["fit", "items", "--out", passes, *WORDS[:-1], passes, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        errors.append(np.log([stage["error"] for stage in report["stages"]]).mean())
    assert errors[1] < errors[0]
    assert not Path("3/passes.safetensors").exists()


@pytest.mark.parametrize("stopped", [1, 2, 3])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    stopped: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "items", "--out", "straight", *WORDS]) == 0
    take, taken = full_passes.Passes._take, []

    def stop(self: object, tally: object) -> None:
        if len(taken) == stopped:
            raise KeyboardInterrupt
        taken.append(take(self, tally))

    monkeypatch.setattr(full_passes.Passes, "_take", stop)
    assert main(["fit", "items", "--out", "broken", *WORDS]) == (130 if stopped < 3 else 0)
    monkeypatch.setattr(full_passes.Passes, "_take", take)
    if stopped < 3:
        assert [file.name for file in Path("broken").iterdir()] == ["passes.safetensors"]
        capsys.readouterr()
        assert main(["fit", "items", "--out", "broken", *WORDS, "--seed", "1"]) == 2
        assert "the same data and settings" in capsys.readouterr().err
        whole = Path("broken/passes.safetensors").read_bytes()
        Path("broken/passes.safetensors").write_bytes(whole[:-9])
        assert main(["fit", "items", "--out", "broken", *WORDS]) == 2
        assert "readable codes in broken" in capsys.readouterr().err
        Path("broken/passes.safetensors").write_bytes(whole)
        assert main(["fit", "items", "--out", "broken", *WORDS]) == 0
    for file in Path("straight").iterdir():
        assert (Path("broken") / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_pass_is_least_squares_in_numpy(items: np.ndarray) -> None:
    rows = torch.from_numpy(items[20:520] / 4)
    quantizer = codeword.fit(rows, "rvq2x4", tries=1, steps=3)
    books = [stage.codebook.codes.double() for stage in stages_to_pass(quantizer)]
    tally = Tally(books, 1)
    for part in rows.split(77):
        tally.add(part)
    whole = Tally(books, 1)
    whole.add(rows)
    assert all(map(torch.equal, tally.tensors, whole.tensors))
    x, first = rows.double().numpy(), ((rows.double()[:, None] - books[0]) ** 2).sum(-1).argmin(1)
    left = rows.double() - books[0][first]
    second = ((left[:, None] - books[1]) ** 2).sum(-1).argmin(1)
    seen = whole.seen()
    assert torch.equal(seen.counts[1], second.bincount(minlength=4).double())
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    assert np.array_equal(seen.pairs[0, 1].numpy(), table)
    for sums, index in zip(seen.sums, (first, second), strict=True):
        expected = np.stack([x[index.numpy() == code].sum(0) for code in range(4)])
        np.testing.assert_allclose(sums.numpy(), expected, atol=500 * 2.0**-25)
    errors = [(left**2).sum(), ((left - books[1][second]) ** 2).sum()]
    np.testing.assert_allclose(seen.errors.numpy(), [float(error) for error in errors], rtol=1e-6)


def test_a_pass_of_one_stage_is_lloyds() -> None:
    rows = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    books = [rows[:5].double()]
    tally = Tally(books, 1)
    tally.add(rows)
    nearest = ((rows.double()[:, None] - books[0]) ** 2).sum(-1).argmin(1)
    means = torch.stack([rows[nearest == code].double().mean(0) for code in range(5)])
    torch.testing.assert_close(tally.better()[0], means, atol=1e-6, rtol=0)


def test_the_sample_is_that_of_the_names(items: np.ndarray) -> None:
    def sample(data: str, count: int) -> tuple[set[bytes], object]:
        stream = streams.VectorStream(data)
        found = survey(stream, count, 0, Crew(), Tracked(stream, lambda blocks, what: blocks, ""))
        return {row.tobytes() for row in found.sample.rows}, found

    some, facts = sample("items", 400)
    assert len(some) == facts.fitted_to == 400
    good = np.delete(items, 17, 0).astype(np.float64)
    np.testing.assert_allclose(facts.mean.numpy(), good.mean(0), rtol=1e-5)
    assert facts.scale == pytest.approx(np.sqrt(good.var(0).mean()))
    assert sum(facts.counts) == 2999
    more, _ = sample("items", 500)
    assert some < more
    whole, facts = sample("items", 5000)
    assert len(whole) == facts.fitted_to == 2999


def test_processes_that_do_not_find_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert main(["fit", "items", "--out", "run", *WORDS]) == 2
    assert "2 processes that find each other" in capsys.readouterr().err


def test_what_passes_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--quantizer", "gvq2x4", "--passes", "1"], "leave out --passes"),
        (["--quantizer", "vq4", "--passes", "-1"], "passes of at least 0"),
    ):
        assert main(["fit", "items", "--out", "run", *words]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(CodewordError, match="at most 268435456 pairs"):
        stages_to_pass(codeword.from_spec("rvq2x32768", features=2))
