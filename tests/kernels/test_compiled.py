"""What the compiler says of the Triton kernels, for chips that are not here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")
pytest.importorskip("triton.backends.nvidia")

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "benchmarks" / "results" / "kernels.json"
sys.path.insert(0, str(ROOT))
from benchmarks.compiled import parse_loops  # noqa: E402
from benchmarks.kernels import Case, Line, cases, line  # noqa: E402

FEW = (
    Case("search", 90, (2**20, 8192, 64)),
    Case("search", 90, (2**20, 4096, 128), raw=True),
    Case("stack", 90, (2**17, 1024, 128)),
    Case("search_again", 90, (2**20, 8192, 64)),
    Case("stack", 120, (2048, 1024, 40), few=True),
)


of_the_report = pytest.mark.skipif(
    not triton.__version__.startswith("3.9."),
    reason="each version of Triton allocates registers in its own way; the report is of 3.9",
)


def judge(made: Line) -> None:
    assert made.fits, made
    assert made.registers <= 255, made
    assert made.stack == 0, made
    assert made.tensor_core == (made.kernel.startswith(("search,", "stack,"))), made
    assert made.floor_ms <= made.predicted_ms, made


@of_the_report
@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_few_kernels_compile_as_they_should(case: Case) -> None:
    judge(line(case))


@of_the_report
@pytest.mark.slow
def test_every_row_of_the_tables_compiles_as_it_should() -> None:
    for case in cases():
        judge(line(case))


def test_the_report_has_every_case_and_nothing_else() -> None:
    report = json.loads(REPORT.read_text())
    for made in report:
        judge(Line(**made))
    told = [(made["kernel"].split(",")[0], made["capability"], tuple(made["shape"])) for made in report]
    assert told == [(case.kernel, case.capability, case.shape) for case in cases()], (
        "run `python -m benchmarks.kernels --json benchmarks/results/kernels.json`"
    )
    tiles = {json.dumps(made["tile"]) for made in report}
    assert tiles == {json.dumps(case.tile) for case in cases()}


def test_the_figures_of_the_report_are_those_that_are_wanted() -> None:
    """On paper: twice the product in float32, 0.6 of the product of halves."""
    from benchmarks.chips import CHIPS
    from benchmarks.kernels import HALF_SHAPES, SHAPES
    from benchmarks.model import float_product_ms, half_product_ms

    lines = [Line(**made) for made in json.loads(REPORT.read_text())]
    predicted = {
        (made.kernel, tuple(made.shape)): made.predicted_ms for made in lines if made.capability == 90
    }
    for shape in SHAPES:
        assert float_product_ms(CHIPS[90], *shape) >= 2 * predicted["search, float32", shape]
    for shape in HALF_SHAPES:
        assert half_product_ms(CHIPS[90], *shape) >= 0.6 * predicted["search, bfloat16", shape]


def test_loops_are_found_in_machine_code() -> None:
    code = """
        /*0000*/                   S2R R26, SR_TID.X ;
        /*0010*/                   IADD R1, R1, 1 ;
        /*0020*/                   HGMMA.64x64x16.F32.BF16 R24, R80, gdesc[UR12], RZ, !UPT ;
        /*0030*/              @!P1 BRA 0x10 ;
        /*0040*/               @P1 BRA 0x60 ;
        /*0050*/                   NOP ;
        /*0060*/                   BRA 0x60 ;
    """
    products, loops = parse_loops(code)
    assert products == 1
    assert [(loop.instructions, loop.products) for loop in loops] == [(3, 1)]
    assert parse_loops("/*0000*/  EXIT ;") == (0, ())
