"""The search's vector code for other processors than this one: it compiles, and its inner loop stays in registers."""

from __future__ import annotations

import re

import pytest

binding = pytest.importorskip("llvmlite.binding")

from codeword.kernels.nearest.llvm.float32_code import Tile, module  # noqa: E402

# triple, processor, its tile, one multiplication of the inner loop
TARGETS = {
    "aarch64": ("aarch64-unknown-linux-gnu", "generic", Tile(4, 12, 2), r"\bfmla\b"),
    "apple": ("aarch64-apple-darwin", "apple-m1", Tile(4, 12, 2), r"\bfmla\b|\bfmla\."),
    "sse2": ("x86_64-unknown-linux-gnu", "x86-64", Tile(4, 6, 2), r"\bmulps\b"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", Tile(8, 6, 2), r"\bvfmadd\d+ps\b"),
    "avx512": ("x86_64-unknown-linux-gnu", "skylake-avx512", Tile(16, 12, 2), r"\bvfmadd\d+ps\b"),
}
STACK = r"\[sp\b|%rsp|%rbp"


@pytest.fixture(scope="module", autouse=True)
def all_targets() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


def assembly(triple: str, processor: str, tile: Tile) -> str:
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=processor, opt=3)
    code = module(tile)
    code.triple = triple
    parsed = binding.parse_assembly(str(code))
    parsed.verify()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    text: str = machine.emit_assembly(parsed)
    return text


@pytest.mark.parametrize("name", TARGETS)
def test_the_inner_loop_stays_in_registers(name: str) -> None:
    triple, processor, tile, multiplication = TARGETS[name]
    blocks = re.split(r"^\.?L\w+:.*\n", assembly(triple, processor, tile), flags=re.MULTILINE)
    count, inner = max((len(re.findall(multiplication, block)), block) for block in blocks)
    assert count == tile.rows * tile.vectors
    assert not re.search(STACK, inner), inner


def test_a_tile_too_large_would_be_seen() -> None:
    triple, processor, _, multiplication = TARGETS["sse2"]
    blocks = re.split(r"^\.?L\w+:.*\n", assembly(triple, processor, Tile(4, 12, 2)), flags=re.MULTILINE)
    inner = max(blocks, key=lambda block: len(re.findall(multiplication, block)))
    assert re.search(STACK, inner)
