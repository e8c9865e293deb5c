"""An early word about unused codes: given once where a quantizer really collapses, and of use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codeword import from_spec
from codeword.cli.console import Console
from codeword.functional import Usage, usage
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import Source
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Progress, Trainer
from codeword.workbench.training.usage_advice import advise, is_low

Named = list[tuple[str, np.ndarray]]
COLLAPSES = "vq64,update=gradient(init=none,revival=none),penalties=(codebook,commitment)"
CURED = "vq64,update=gradient(init=none),penalties=(codebook,commitment)"


def trainer(folder: Path, config: TrainConfig, pictures: Named, quantizer: str = "") -> Trainer:
    run = Run(folder)
    if not run.has_checkpoint:
        run.create("somewhere", TrainConfig(**{**vars(config), "quantizer": quantizer, "steps": 208}))
    source = Source.of(pictures[:2], [])
    return Trainer(run, run.settings()[1], Images(), source, resume=run.has_checkpoint)


def test_a_collapse_is_said_once_with_its_cure(folder: Path, config: TrainConfig, pictures: Named) -> None:
    lines: list[Progress] = []
    first = trainer(folder, config, pictures, COLLAPSES)
    first.fit(lines.append, stop=lambda: first.step >= 204)
    trainer(folder, config, pictures).fit(lines.append)  # resumed: it has been said
    (note,) = [line.note for line in lines if line.note is not None]
    at = next(line for line in lines if line.note is not None)
    assert (at.step, at.used < 0.1, lines[-1].used < 0.1) == (200, True, True)
    assert note == (
        f"{at.used:.0%} of codes used after 200 steps; "
        f"try: leave out revival=none, so that dead codes move to where vectors are"
    )
    lines.clear()
    trainer(folder.with_name("cured"), config, pictures, CURED).fit(lines.append)
    assert lines[-1].used > 0.3
    assert not any(line.note for line in lines)


def test_the_console_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress(Images.metrics[0]) as report:
        for step in (1, 2, 3):  # too close to each other for lines of their own
            share = 0.01 * step
            report(Progress(step, 300, share, 0.1, 20.0, 0.02, None, 7.0, "try this" if step == 2 else None))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert "7 ms/step" in said[0]
    assert said[1] == "note: try this"


def test_what_is_low_depends_on_what_could_be_used() -> None:
    """200 rows drawn evenly reach 18 % of 1,024 codes; the same 20 codes over and over are a collapse."""
    even = torch.randint(1024, (200,), generator=torch.Generator().manual_seed(0))
    assert 0.15 < float(usage(even, 1024).used) / 1024 < 0.2
    assert not is_low(usage(even, 1024), 200)
    assert is_low(usage(even, 1024), 30_000)
    assert is_low(usage(even % 20, 1024), 200)


def test_one_starved_stage_is_enough_but_not_one_still_bit() -> None:
    def counted(used: list[int], size: int) -> Usage:
        found, zeros = torch.tensor(used), torch.zeros(len(used))
        return Usage(zeros, found, size - found, zeros, zeros)

    assert is_low(counted([256, 250, 12], 256), 10_000)
    assert not is_low(counted([256, 250, 120], 256), 10_000)
    assert not is_low(counted([2, 2, 2, 1], 2), 10_000)
    assert is_low(counted([1, 1, 2, 1, 1], 2), 10_000)
    assert not is_low(counted([1], 1), 10_000)


@pytest.mark.parametrize(
    ("spec", "cure"),
    [
        ("vq64", "a lower --learning-rate"),
        ("vq64,update=frozen", "leave out update=frozen"),
        ("vq64,update=gradient,penalties=(codebook,commitment)", "update=ema"),
        ("vq64,update=ema(revival=none)", "leave out revival=none"),
        ("rvq(vq64|vq32,update=ema(revival=none))", "leave out revival=none"),
        ("lfq6", "raise temperature=0.01 and entropy=0.1 together"),
        ("gvq2x(bsq2)", "raise temperature=0.01"),
        ("fsq8-5", "fewer levels"),
        ("memory64", "raise temperature=1.0"),
        ("bits6", "raise temperature=1.0"),
    ],
)
def test_the_cure_fits_the_quantizer(spec: str, cure: str) -> None:
    assert cure in advise(from_spec(spec, features=4))
