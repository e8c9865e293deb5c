"""Spec strings: read, written, and errors that point."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

import codeword
from codeword import EMA, Commitment, Grouped, KMeans, Residual, VectorQuantizer
from codeword.axes import Estimator, Lookup
from codeword.inits import Sample
from codeword.quantizers.spec.grammar import Call, parse, write
from codeword.revivals import BelowShare

NAMES = st.from_regex(r"[a-z][a-z_]{0,6}", fullmatch=True).filter(
    lambda n: n not in ("true", "false", "none")
)
SCALARS = st.one_of(
    st.booleans(), st.none(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False)
)
HEADS = NAMES.filter(lambda n: not n.endswith("x"))


def calls(values: st.SearchStrategy) -> st.SearchStrategy:
    settings = st.lists(st.tuples(NAMES, values), max_size=3).map(tuple)
    return st.builds(Call, NAMES, st.just(()), st.lists(values, max_size=2).map(tuple), settings)


VALUES = st.recursive(
    SCALARS, lambda v: st.one_of(calls(v), st.lists(v, max_size=3).map(tuple)), max_leaves=6
)


def specs(inner: st.SearchStrategy) -> st.SearchStrategy:
    settings = st.lists(st.tuples(NAMES, VALUES), max_size=3).map(tuple)
    parts = st.lists(calls(SCALARS), max_size=2).map(tuple)
    sizes = st.lists(st.integers(0, 10**6), max_size=3).map(tuple)
    return st.one_of(
        st.builds(Call, HEADS, sizes, parts, settings, inner),
        st.builds(Call, HEADS, sizes.filter(lambda s: len(s) > 1), parts, settings, separator=st.just("-")),
    )


SPECS = st.recursive(specs(st.just(())), lambda s: specs(st.lists(s, max_size=2).map(tuple)), max_leaves=4)


@given(SPECS)
def test_grammar_round_trip(spec):
    assert parse(write(spec)) == spec


QUANTIZERS = [
    ("vq1024", VectorQuantizer(8, 1024)),
    ("vq16,code_features=4", VectorQuantizer(8, 16, code_features=4)),
    ("vq16,update=ema(decay=0.95)", VectorQuantizer(8, 16, update=EMA(0.95))),
    (
        "vq16,update=ema(init=sample,revival=none,sync=false)",
        VectorQuantizer(8, 16, update=EMA(init=Sample(), revival=None, sync=False)),
    ),
    (
        "vq16,update=ema(init=kmeans(steps=3),revival=below_share(share=0.1))",
        VectorQuantizer(8, 16, update=EMA(init=KMeans(3), revival=BelowShare(0.1))),
    ),
    ("vq16,penalties=(commitment(weight=1.0))", VectorQuantizer(8, 16, penalties=(Commitment(1.0),))),
    ("vq16,penalties=()", VectorQuantizer(8, 16, penalties=())),
]


@pytest.mark.parametrize(("spec", "quantizer"), QUANTIZERS, ids=[spec for spec, _ in QUANTIZERS])
def test_specs_of_quantizers(spec, quantizer):
    assert quantizer.spec == spec
    built = codeword.from_spec(spec, features=8)
    assert repr(built) == repr(quantizer)
    assert built.options() == quantizer.options()


def vectors(count: int, features: int = 8) -> list[VectorQuantizer]:
    return [VectorQuantizer(features, 16) for _ in range(count)]


COMPOSITES = [
    ("rvq4x16", lambda: Residual(vectors(4))),
    ("rvq4x16,shared=true", lambda: Residual(vectors(1) * 4)),
    ("rvq4x16,dropout=0.5,minimum_stages=2", lambda: Residual(vectors(4), dropout=0.5, minimum_stages=2)),
    ("rvq2x16,code_features=4", lambda: Residual(vectors(2, 4), features=8)),
    ("rvq(vq16|vq8)", lambda: Residual([VectorQuantizer(8, 16), VectorQuantizer(8, 8)])),
    ("gvq2x16", lambda: Grouped(vectors(2, 4))),
    ("gvq2x(rvq4x16)", lambda: Grouped([Residual(vectors(4, 4)) for _ in range(2)])),
    ("rvq3x(gvq2x16,shared=true)", lambda: Residual([Grouped(vectors(1, 4) * 2) for _ in range(3)])),
    (
        "rvq2x(vq16,update=ema(decay=0.9)),stagewise=true",
        lambda: Residual([VectorQuantizer(8, 16, update=EMA(0.9)) for _ in range(2)], stagewise=True),
    ),
]


@pytest.mark.parametrize(("spec", "build"), COMPOSITES, ids=[spec for spec, _ in COMPOSITES])
def test_specs_of_compositions(spec, build):
    quantizer = build()
    assert quantizer.spec == spec
    built = codeword.from_spec(spec, features=8)
    assert repr(built) == repr(quantizer)
    assert built.spec == spec
    assert len(list(built.parameters())) == len(list(quantizer.parameters()))
    assert {k: v.shape for k, v in built.state_dict().items()} == {
        k: v.shape for k, v in quantizer.state_dict().items()
    }


@pytest.mark.parametrize(
    ("short", "spec"),
    [
        ("vq16,cosine,code_features=4", "vq16,code_features=4,metric=cosine"),
        ("vq16,ema(0.9),commitment(1.0)", "vq16,update=ema(decay=0.9),penalties=(commitment(weight=1.0))"),
        ("rvq2x16,cosine,dropout=0.5", "rvq2x(vq16,metric=cosine),dropout=0.5"),
        ("gvq2x16,update=ema(decay=0.9)", "gvq2x(vq16,update=ema(decay=0.9))"),
        ("rvq(vq16|vq16)", "rvq2x16"),
        ("rvq 2x( gvq2x16 )", "rvq2x(gvq2x16)"),
    ],
)
def test_short_forms(short, spec):
    assert codeword.from_spec(short, features=8).spec == spec


def test_positional_arguments_and_spaces():
    assert codeword.from_spec(" vq16 , update = ema( 0.95 ) ", features=8).spec == QUANTIZERS[2][0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "the name of a quantizer at character 1"),
        ("1024", "the name of a quantizer at character 1"),
        ("qv16", "expected the name of a quantizer, but got 'qv'; use one of: vq"),
        ("vq", r"expected vq<codebook_size>, but got 'vq'; write 1 number"),
        ("vq16x2", "write 1 number"),
        ("vq16,", "an option or a part at character 6"),
        ("vq16,decay", "the name of a part, but got 'decay'"),
        ("vq16,kmeans", "an option of vq, but got 'kmeans'"),
        ("vq16,cosine,dot", "one metric, but got 'dot'"),
        ("vq16,cosine,metric=dot", "metric once"),
        ("vq8-8", "write 1 number"),
        ("vq16(vq4)", "',' or the end at character 5"),
        ("vq16x(vq4)", "write 1 number"),
        ("rvq8", r"rvq<number>x<codes>, .* but got 'rvq8'"),
        ("rvq0x16", "but got 'rvq0x16'"),
        ("rvq8x", r"a number or '\(' at character 6"),
        ("rvq8x(vq16", r"'\|' or '\)' at character 11"),
        ("rvq8x(vq16|vq8)", r"but got 'rvq8\(...\)'"),
        ("rvq8x(qv16)", "the name of a quantizer, but got 'qv'"),
        ("rvq2x16,dropout=2", "dropout from 0 to 1, but got 2"),
        ("rvq2x16,drop=2", "unexpected keyword argument 'drop'"),
        ("gvq3x16", "features that 3 groups divide, but got 8"),
        ("gvq2x(rvq2x(gvq3x4))", "features that 3 groups divide, but got 4"),
        ("vq16;decay=1", "',' or the end at character 5"),
        ("vq16,update=ema(decay=0.9", r"',' or '\)' at character 26"),
        (
            "vq16,update=ema(decai=0.9)",
            "options of ema, but got an unexpected keyword argument 'decai'; it has: decay, init, revival, sync",
        ),
        ("vq16,update=emma", "the name of a part, but got 'emma'; use one of: ema"),
        (
            "vq16,colour=3",
            "unexpected keyword argument 'colour'; it has: code_features, update, metric, estimator, penalties\n",
        ),
        ("vq16,codebook_size=3", "codebook_size once"),
        ("vq16,features=3", "features once"),
        ("vq0", "codebook_size of at least 1, but got 0"),
        ("vq16,update=ema(decay=2)", "decay of EMA between 0 and 1, but got 2"),
        ("vq16,device=cpu", "the name of a part, but got 'cpu'"),
        ("vq16,device=none", "unexpected keyword argument 'device'"),
        ("vq16,update=kmeans", "a part for update, but got KMeans"),
        ("vq16,metric=ema", "metric"),
        ("vq16,penalties=commitment", "penalties"),
        ("vq16,code_features=none,code_features=4", "code_features once"),
    ],
)
def test_errors_name_the_place(spec, message):
    with pytest.raises(codeword.CodewordError, match=message):
        codeword.from_spec(spec, features=8)


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("vq16;decay=1", 4),
        ("qv16", 0),
        ("rvq2x(qv16)", 6),
        ("vq16,colour=3", 5),
        ("vq16,update=ema(init=kmean)", 21),
        ("vq16,update=ema(decai=0.9)", 16),
        ("gvq2x(rvq2x(gvq3x4))", 12),
        ("rvq2x(vq16),dropout=2", 0),
    ],
)
def test_errors_point_at_the_place(spec, place):
    with pytest.raises(codeword.CodewordError) as caught:
        codeword.from_spec(spec, features=8)
    assert str(caught.value).endswith(f"\n  {spec}\n  {' ' * place}^")


def test_errors_point_at_the_character():
    with pytest.raises(codeword.CodewordError) as caught:
        codeword.from_spec("vq16;decay=1", features=8)
    assert str(caught.value).endswith("\n  vq16;decay=1\n      ^")


def test_a_part_without_a_name_in_specs_is_shown_as_it_is():
    @dataclass(frozen=True)
    class Own(Estimator):
        radius: float = 1.0

        def surrogate(self, lookup: Lookup):
            return lookup.rows

    assert "estimator=" in (shown := repr(VectorQuantizer(2, 4, estimator=Own(0.4))))
    assert "Own(radius=0.4)" in shown
