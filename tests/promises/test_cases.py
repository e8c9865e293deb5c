"""Nothing that can be built escapes the promises, and no exemption goes without a reason."""

from __future__ import annotations

import re

import pytest

from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.spec.parts import PARTS
from promises.cases import CASES, EXEMPT
from promises.family_cases import SLOW_FAMILIES
from promises.parts_cases import SLOW_PARTS

WORDS = {word for case in CASES for word in re.findall(r"[a-z_]+", f"{case.build().spec} {case.name}")}
DEFAULT_PARTS = {"ema", "kmeans", "relative", "euclidean", "straight_through", "commitment", "tanh"}


@pytest.mark.parametrize("name", sorted(QUANTIZERS))
def test_every_quantizer_is_a_case(name):
    assert name in WORDS


@pytest.mark.parametrize("name", sorted(set(PARTS) - DEFAULT_PARTS))  # a spec does not name the defaults
def test_every_part_is_in_a_case(name):
    assert name in WORDS


def test_exemptions_are_about_cases_and_have_reasons():
    names = {case.name for case in CASES}
    assert len(names) == len(CASES)
    for (name, promise), reason in EXEMPT.items():
        assert name in names
        assert re.fullmatch(r"P\d+", promise)
        assert len(reason.split()) >= 4, f"why is {name} exempt from {promise}?"
    assert {name for name, _ in SLOW_PARTS | SLOW_FAMILIES} <= names
