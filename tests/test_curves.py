"""Five short trainings have the losses that they had: `python tests/test_curves.py` writes `curves.json` anew.

Two processors round differently. In the first steps that is all that can differ. Later a vector that lies between two
codes takes the other one, every step after it sees other codes, and the losses of single steps go apart while their
mean stays. So early steps are compared closely, and the mean of the last ones loosely. For scale: numbers of the data
off by 1e-5 moved the early steps by 4e-5 at most, a late one by 2e-3 and the mean of the late ones by 5e-4.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean

import pytest

from curves import TRAININGS, codebook, network

GOLDEN = Path(__file__).with_name("curves.json")
EARLY, CLOSE = 12, 1e-3  # steps, relative
LAST, LOOSE = 12, 0.02


def moved(name: str, losses: list[float]) -> str | None:
    """How a training differs from its golden curve, and what to do; None: it does not."""
    golden: list[float] = json.loads(GOLDEN.read_text())[name]
    for step, (found, wanted) in enumerate(zip(losses[:EARLY], golden, strict=False)):
        if not abs(found - wanted) <= CLOSE * abs(wanted):
            return _say(name, f"the loss of step {step} is {found:.6g} and was {wanted:.6g}")
    if len(losses) != len(golden):
        return _say(name, f"{len(losses)} steps and not {len(golden)}")
    found, wanted = fmean(losses[-LAST:]), fmean(golden[-LAST:])
    if not abs(found - wanted) <= LOOSE * abs(wanted):
        return _say(name, f"the mean loss of the last {LAST} steps is {found:.6g} and was {wanted:.6g}")
    return None


def _say(name: str, what: str) -> str:
    remedy = "if the change is meant, run `python tests/test_curves.py` and commit curves.json"
    return f"the training {name!r} has moved: {what}; {remedy}"


@pytest.mark.parametrize("name", TRAININGS)
def test_losses_are_those_of_the_golden_curve(name: str) -> None:
    message = moved(name, TRAININGS[name]())
    assert message is None, message


def test_another_decay_is_found() -> None:
    """The default is 1 - 256 / (25 x 128) = 0.92 for these batches."""
    assert moved("codebook", codebook("vq128,update=ema(decay=0.92)")) is None
    message = moved("codebook", codebook("vq128,update=ema(decay=0.9)"))
    assert message is not None
    assert "'codebook' has moved: the loss of step" in message
    assert "python tests/test_curves.py" in message


@pytest.mark.parametrize("changed", ["revival=below_share(share=0.2)", "init=sample"])
def test_another_start_or_revival_is_found(changed: str) -> None:
    assert moved("residual", codebook(f"rvq4x(vq16,update=ema({changed}))")) is not None


def test_another_estimator_is_found() -> None:
    assert moved("gradient", network("vq64,update=gradient,penalties=(codebook,commitment)", 8)) is not None


def test_what_is_compared() -> None:
    golden = json.loads(GOLDEN.read_text())["scalar"]
    assert set(json.loads(GOLDEN.read_text())) == set(TRAININGS)
    assert moved("scalar", golden) is None
    swung = [*golden[:EARLY], *(loss * (1 + 0.2 * (-1) ** n) for n, loss in enumerate(golden[EARLY:]))]
    assert moved("scalar", swung) is None  # single late steps may differ
    for wrong, what in (
        ([golden[0] * 1.002, *golden[1:]], "step 0"),
        ([*golden[:-LAST], *(1.03 * loss for loss in golden[-LAST:])], "last 12 steps"),
        (golden[:-1], "47 steps and not 48"),
        ([float("nan")] * len(golden), "nan"),
    ):
        assert what in str(moved("scalar", wrong))


if __name__ == "__main__":
    found = {name: training() for name, training in TRAININGS.items()}
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    messages = [moved(name, losses) for name, losses in found.items() if name in known]
    sys.stdout.write("".join(f"{message}\n" for message in messages if message))
    rounded = {name: [float(f"{loss:.7g}") for loss in losses] for name, losses in found.items()}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(losses)}" for name, losses in rounded.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")
