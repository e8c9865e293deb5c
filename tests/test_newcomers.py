"""What it takes to add something: one class, one line where it is listed, and everything else follows.

Each class here is what the one new file would hold.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import signature
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

import codeword
from codeword.axes import Estimator, Lookup, Revival
from codeword.checkpoints.importers import LIBRARIES, convert, convert_back
from codeword.checkpoints.importers.library import Library, codebook_table, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, renamed
from codeword.cli import commands, main
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.implicit.base import Implicit
from codeword.quantizers.spec.parts import PARTS
from promises.cases import Case
from promises.listed import plain_part, plain_quantizer

PROMISES = [f"promises.test_p{number}" for number in (
    "10_state", "12_bad_input", "13_determinism", "3_round_trip", "4_masks", "7_no_sync", "8_precision", "9_modes"
)]  # fmt: skip


def checks(case: Case, folder: Path) -> Iterator[Callable[[], object]]:
    """Every test of the promise suite that is about one case, with each choice of its other parameters."""
    for name in PROMISES:
        for key, test in vars(importlib.import_module(name)).items():
            marks = {mark.args[0]: mark.args[1] for mark in getattr(test, "pytestmark", []) if mark.args}
            if not key.startswith("test_") or "case" not in marks:
                continue
            given = {"tmp_path": folder} if "tmp_path" in signature(test).parameters else {}
            others = [argument for argument in marks if argument != "case"]
            for values in product(*(map(plain, marks[argument]) for argument in others)):
                yield partial(test, case=case, **given, **dict(zip(others, values, strict=True)))


def plain(value: object) -> object:
    """A parameter without its marks."""
    return value.values[0] if isinstance(value, type(pytest.param())) else value


@dataclass(frozen=True)
class Damped(Estimator):
    """A share of the gradient passes."""

    share: float = 0.5

    def surrogate(self, lookup: Lookup) -> Tensor:
        return self.share * lookup.rows + lookup.q


@dataclass(frozen=True)
class Last(Revival):
    """The least used code is dead, whatever its count: in each step it moves to a row."""

    def candidates(self, codebook_size: int) -> int:
        return 1

    def dead(self, state: dict[str, Tensor]) -> Tensor:
        size = state["cluster_size"]
        numbers = torch.arange(size.shape[-1], dtype=torch.int64, device=size.device)
        return numbers == size.argmin(-1, keepdim=True)


class Signs(Implicit):
    """One bit a feature: -1 or 1."""

    spec_name = "signs"
    size_names = ()

    def __init__(self, features: int, *, dim: int = -1) -> None:
        super().__init__(features, (2,) * features, dim=dim)

    def _digits(self, rows: Tensor) -> Tensor:
        return (rows > 0).long()

    def _vectors(self, digits: Tensor) -> Tensor:
        return 2.0 * digits - 1


@dataclass(frozen=True)
class Plain(Library):
    """A library that keeps its codes under `table`."""

    def build(self, state: State) -> Quantizer:
        size, features = only(state, "table").shape
        return VectorQuantizer(features, size)

    def table(self, quantizer: Quantizer) -> KeyTable:
        codes = codebook_table(quantizer.codebook, [renamed("table", "codes")])
        return random_keys(quantizer) + codes.under("", "codebook.")


@dataclass(frozen=True)
class Greet:
    """Say hello."""

    name: str = "you"
    """Whom to greet."""

    def run(self) -> int:
        print(f"hello, {self.name}")  # noqa: T201
        return 0


@pytest.mark.parametrize(("name", "part"), [("damped", Damped), ("last", Last)])
def test_a_part_is_one_class_and_one_line(name, part, monkeypatch, tmp_path):
    monkeypatch.setitem(PARTS._classes, name, part)  # the line
    run_checks(Case(name, plain_part(part)), tmp_path)


def test_a_quantizer_is_one_class_and_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(QUANTIZERS._classes, "signs", Signs)  # the line
    run_checks(Case("signs", plain_quantizer("signs", Signs)), tmp_path)
    assert torch.equal(codeword.from_spec("signs", features=3).decode(torch.tensor(0)), -torch.ones(3))


def run_checks(case: Case, folder: Path) -> None:
    found = list(checks(case, folder))
    assert len(found) > 25
    for check in found:
        check()


def test_an_importer_is_one_class_and_one_line(monkeypatch):
    monkeypatch.setitem(LIBRARIES._classes, "plain", Plain)  # the line
    state = {"table": torch.randn(5, 3)}
    vq = convert(state, library="plain")
    assert torch.equal(vq.decode(torch.arange(5)), state["table"])
    assert torch.equal(convert_back(vq, library="plain")["table"], state["table"])


def test_a_command_is_one_class_and_one_line(monkeypatch, capsys):
    monkeypatch.setitem(commands.COMMANDS, "greet", Greet)  # the line
    assert main(["greet", "--name", "world"]) == 0
    assert capsys.readouterr().out == "hello, world\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Say hello." in capsys.readouterr().out
