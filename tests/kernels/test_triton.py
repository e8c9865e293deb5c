"""The Triton kernels in Triton's interpreter, in processes of their own, which the switch needs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch

from codeword.errors import CodewordError, CodewordWarning
from codeword.kernels.nearest import dispatch
from codeword.kernels.triton import host

triton = pytest.importorskip("triton")

from codeword.kernels.nearest.triton.modes import mode_of  # noqa: E402
from codeword.kernels.nearest.triton.tiles import TILES, tile_for  # noqa: E402
from codeword.kernels.triton.host import CHIPS  # noqa: E402

SCRIPTS = sorted(Path(__file__).with_name("interpreter").glob("[!_]*.py"))


def version(package) -> tuple[int, ...]:
    return tuple(int(number) for number in package.__version__.split(".")[:2])


LONG = {
    "search": "check_ties",
    "stack": "check_ties_equal_the_plain_way",
}  # and what the quick run takes of it
interpreted = pytest.mark.skipif(
    version(triton) < (3, 7) and version(numpy) >= (2, 4),
    reason="the interpreter of Triton up to 3.6, which torch 2.11 comes with, knows NumPy up to 2.3",
)


def interpret(script: Path, *checks: str) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1", "CODEWORD_KERNEL": "triton", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, *checks]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@interpreted
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_in_the_interpreter(script: Path) -> None:
    interpret(script, *filter(None, [LONG.get(script.stem)]))


@interpreted
@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_all_of_the_long_ones(name: str) -> None:
    interpret(next(script for script in SCRIPTS if script.stem == name))


@pytest.fixture
def new_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Triton is there, the dispatch takes it."""
    monkeypatch.setattr(host, "obstacle", lambda: "")


def on_a_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> object:
    """A stand-in for rows on a device of a compute capability, which the dispatch only looks at."""
    monkeypatch.delenv("CODEWORD_KERNEL", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    dispatch._warn_once.cache_clear()
    return SimpleNamespace(
        is_cuda=True, dtype=torch.float32, device=torch.device("cuda", 0), shape=torch.Size([1, 4, 8])
    )


@pytest.mark.usefixtures("new_enough")
def test_a_known_chip_has_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = on_a_gpu(monkeypatch, (9, 0))
    assert dispatch.backend_for(rows, 1) == "triton"
    assert dispatch.backend_for(rows, 2) == "blocked"
    assert not dispatch.takes_halves(rows, 1)
    rows.dtype = torch.bfloat16
    assert dispatch.takes_halves(rows, 1)
    rows.shape = torch.Size([1, 4, 2**15])
    assert not dispatch.takes_halves(rows, 1)


@pytest.mark.usefixtures("new_enough")
def test_a_chip_without_tiles_has_the_plain_way_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = on_a_gpu(monkeypatch, (7, 5))
    with pytest.warns(CodewordWarning, match=r"plain torch, without a chip .* 9\.0.* \(this one has 7\.5\)"):
        assert dispatch.backend_for(rows, 1) == "blocked"
    assert dispatch.backend_for(rows, 1) == "blocked"  # a second warning would be an error
    monkeypatch.setenv("CODEWORD_KERNEL", "triton")
    with pytest.raises(CodewordError, match="chip of compute capability"):
        dispatch.backend_for(rows, 1)


@pytest.mark.usefixtures("new_enough")
def test_a_chip_of_another_maker_has_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = on_a_gpu(monkeypatch, (9, 0))
    monkeypatch.setattr(torch.version, "hip", "6.0")
    with pytest.warns(CodewordWarning, match="without a chip of NVIDIA's"):
        assert dispatch.backend_for(rows, 1) == "blocked"
    assert not host.serves(rows)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("3.1.0", r"triton 3\.6 or later instead of triton 3\.1\.0"),
        (None, r"the package triton 3\.6 or later"),
    ],
)
def test_a_triton_that_is_old_or_missing(
    monkeypatch: pytest.MonkeyPatch, found: str | None, said: str
) -> None:
    def version(package: str) -> str:
        if found is None:
            raise PackageNotFoundError(package)
        return found

    rows = on_a_gpu(monkeypatch, (9, 0))
    monkeypatch.setattr(host, "version", version)
    host.obstacle.cache_clear()
    try:
        with pytest.warns(CodewordWarning, match=said):
            assert dispatch.backend_for(rows, 1) == "blocked"
        monkeypatch.setenv("CODEWORD_KERNEL", "triton")
        with pytest.raises(CodewordError, match=said):
            dispatch.backend_for(rows, 1)
    finally:
        host.obstacle.cache_clear()


def test_every_mode_has_a_tile_on_every_chip() -> None:
    modes = [mode_of(d, raw=raw) for d in (*range(1, 600), 2**14) for raw in (False, True)]
    for capability in CHIPS:
        for mode in modes:
            tile = tile_for(mode, capability)
            assert all(size & (size - 1) == 0 for size in tile[:3])
            assert tile.rows >= 16
            assert tile.codes >= 16
        kinds = {mode.shape_class for mode in modes}
        assert set(TILES[CHIPS[capability]]) == kinds  # and no row that nothing uses
