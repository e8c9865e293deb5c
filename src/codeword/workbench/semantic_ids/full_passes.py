"""Improve codes in passes over all vectors, with all processes; the codes are saved after each pass."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.fitting.passes import Tally, stages_to_pass
from codeword.tokenizers import VectorTokenizer
from codeword.workbench.semantic_ids.crew import Crew
from codeword.workbench.semantic_ids.tracked import Tracked

__all__ = ["STATE", "Passes"]

STATE = "passes.safetensors"


class Passes:
    """Rounds of least squares over all vectors. The best result is kept.

    A pass exchanges one set of sums: for each stage K (D + 1) whole numbers, and the K x K counts of pairs of stages.
    They are exact, so the result has the same bits with any number of processes, and after a stop.

    Args:
        count: how many; one more pass at the end measures the last result.
        beam: of the search.
        folder: where the codes are saved; None: nowhere.
        name: identifies this fit.
    """

    def __init__(self, count: int, beam: int, folder: Path | None, name: str) -> None:
        self.count, self.beam, self.name = count, beam, name
        self.path = None if folder is None else folder / STATE
        self.done, self.lowest = 0, math.inf
        self.books: list[Tensor] = []
        self.best: list[Tensor] = []

    def run_(self, tokenizer: VectorTokenizer, tracked: Tracked, crew: Crew) -> None:
        """Improve the codes of a tokenizer.

        Raises:
            CodewordError: the saved codes are of another fit, or damaged; the disk is full.
        """
        stages = stages_to_pass(tokenizer.quantizer)
        self.books = self.best = [stage.codebook.codes.double() for stage in stages]
        self._go_on(crew)
        while self.done <= self.count:
            tally = Tally(self.books, self.beam)
            for _, block in tracked.pieces(crew):
                if len(block.rows):
                    tally.add(tokenizer.standard(torch.from_numpy(block.rows)).float())
            crew.add_up_(tally.tensors)
            self._take(tally)
            if crew.first and self.path is not None:
                write_whole(self.path, self._state())
        for stage, codes in zip(stages, self.best, strict=True):
            stage.codebook.init_from_(codes)

    def _take(self, tally: Tally) -> None:
        score = tally.score()
        if score < self.lowest:
            self.lowest, self.best = score, self.books
        self.done += 1
        if math.isfinite(score):
            self.books = tally.better()

    def _state(self) -> bytes:
        tensors = {f"books.{n}": codes for n, codes in enumerate(self.books)}
        tensors |= {f"best.{n}": codes for n, codes in enumerate(self.best)}
        facts = {"done": str(self.done), "lowest": self.lowest.hex(), "name": self.name}
        return save({name: codes.clone().contiguous() for name, codes in tensors.items()}, metadata=facts)

    def _go_on(self, crew: Crew) -> None:
        """Load the saved codes."""
        there = crew.first and self.path is not None and self.path.exists()
        raw = crew.from_first(self.path.read_bytes() if there and self.path is not None else None)
        if raw is None:
            return
        try:
            facts = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
            tensors, stages = load(raw), range(len(self.books))
            done, lowest = int(facts["done"]), float.fromhex(facts["lowest"])
            kept = [[tensors[f"{kind}.{n}"] for n in stages] for kind in ("books", "best")]
        except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            raise CodewordError.of(
                f"readable codes in {self.path}", f"{error}", "remove it to begin anew"
            ) from error
        shapes = [[codes.shape for codes in books] for books in (*kept, self.books)]
        if facts.get("name") != self.name or shapes[0] != shapes[2] or shapes[1] != shapes[2]:
            expected = f"the same data and settings as {self.path} was begun with"
            raise CodewordError.of(expected, "others", "repeat the same command, or remove it to begin anew")
        self.done, self.lowest, self.books, self.best = done, lowest, *kept
