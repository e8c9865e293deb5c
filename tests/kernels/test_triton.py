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

from codeword.kernels.nearest.triton import tiles  # noqa: E402
from codeword.kernels.nearest.triton.modes import mode_of  # noqa: E402
from codeword.kernels.nearest.triton.parts import UNIT  # noqa: E402
from codeword.kernels.nearest.triton.tiles import FEW, FEW_STACK, STACKS, TILES, tile_for  # noqa: E402
from codeword.kernels.triton.host import CHIPS  # noqa: E402

SCRIPTS = sorted(Path(__file__).with_name("interpreter").glob("[!_]*.py"))


def version(package) -> tuple[int, ...]:
    return tuple(int(number) for number in package.__version__.split(".")[:2])


# What the quick run takes of the long ones: a case of each kernel, ties, marks, and what is not finite.
QUICK = {
    "search": ("check_each_mode", "check_rows_that_many_programs_look_through", "check_ties"),
    "stack": ("check_ties_equal_the_plain_way", "check_one_row_and_one_code"),
    "step": (
        "check_a_few_prepared_codes",
        "check_draws",
        "check_moving_average_in_place",
        "check_running_sums",
        "check_squared_error",
    ),
}
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
    interpret(script, *QUICK.get(script.stem, ()))


@interpreted
@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
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
    kinds = {mode.shape_class for mode in modes}
    kept = {kind for kind in kinds if kind[0] != "halves" and 0 < kind[1] <= 128}
    for wanted, tables in ((kinds, (*TILES.values(), FEW)), (kept, (*STACKS.values(), FEW_STACK))):
        for table in tables:
            assert set(table) == wanted  # and no row that nothing uses
            for (kind, _), tile in table.items():
                assert all(size & (size - 1) == 0 for size in tile[:3])
                assert min(tile.rows, tile.codes) >= 16
                assert kind == "halves" or UNIT % tile.codes == 0
    assert set(TILES) == set(STACKS) == set(CHIPS.values())


def test_few_rows_have_small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as the large ones would leave a multiprocessor without one."""
    rows, mode = on_a_gpu(monkeypatch, (9, 0)), mode_of(64, raw=False)
    monkeypatch.setattr(tiles, "multiprocessors", lambda rows: 132)
    large = TILES[90]["parts", 64]
    rows.shape = torch.Size([1, 131 * large.rows + 1, 64])
    assert tile_for(mode, rows) == large
    rows.shape = torch.Size([1, 131 * large.rows, 64])
    assert tile_for(mode, rows) == FEW["parts", 64]
    rows.shape = torch.Size([2, 131 * large.rows, 64])
    assert tile_for(mode, rows) == large
