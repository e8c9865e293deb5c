"""Quantizers made of quantizers, and those without a codebook, for the promise suite; exemptions with reasons."""

from __future__ import annotations

from collections.abc import Callable

import codeword
from codeword import Quantizer

__all__ = ["EXEMPT_FAMILIES", "FAMILY_CASES", "FAMILY_SHAPES", "OF_MAPS", "SLOW_FAMILIES"]

FEATURES = 6

SPECS = {
    "residual": "rvq3x7",
    "residual-shared": "rvq3x7,shared=true",
    "residual-dropout": "rvq4x5,dropout=0.7",
    "residual-dropout-multiple": "rvq5x5,dropout=0.7,dropout_multiple=2",
    "residual-stagewise": "rvq3x7,stagewise=true",
    "residual-projected": "rvq2x7,code_features=3",
    "residual-projected-stages": "rvq2x(vq7,code_features=3)",
    "residual-mixed": "rvq(vq9|vq4)",
    "additive": "avq3x7,beam=3",
    "additive-without-sweeps": "avq2x5,sweeps=0",
    "additive-projected": "avq2x(vq7,gradient,commitment,codebook),code_features=3,beam=2",
    "qinco": "qinco3x7,hidden=8,candidates=3",
    "qinco-gradient": "qinco2x(vq5,gradient,commitment,codebook),hidden=8,blocks=1",
    "residual-entropy-constrained": "rvq3x7,metric=entropy_constrained(0.2)",
    "grouped": "gvq2x7",
    "grouped-dropout": "gvq3x5,dropout=0.7",
    "grouped-shared-dropout": "gvq3x5,shared=true,dropout=0.7",
    "grouped-residual-dropout": "gvq2x(rvq3x5),dropout=0.5",
    "grouped-shared": "gvq3x7,shared=true",
    "grouped-projected": "gvq3x7,projected=true",
    "grouped-residual": "gvq2x(rvq3x5)",
    "residual-grouped": "rvq2x(gvq3x5,shared=true)",
    "residual-shared-grouped": "rvq2x(gvq2x5),shared=true,dropout=0.5",
    "fsq": "fsq8-5-5-5-3-2",
    "fsq-projected": "fsq7-5",
    "fsq-sigmoid": "fsq5-5-5,sigmoid",
    "fsq-symmetric-noise": "fsq5-4-3-2-2-2,symmetric,noise=0.5",
    "fsq-logit": "fsq5-4-3-2-12-2,logit",
    "fsq-clamp-digits": "fsq5-4-3-2-2-2,clamp,joined=false",
    "fsq-gaussian": "fsq5-4-3-2-12-2,gaussian",
    "fsq-moments": "fsq5-4-3-2-12-2,gaussian,moments(higher=true)",
    "fsq-laplacian-inverse": "fsq5-4-3-2-12-2,laplacian(scale=0.5,inverse=true)",
    "fsq-normalized": "fsq5-4-3-2-2-2,normalize=true",
    "fsq-normalized-noise": "fsq5-4-3-2-2-2,gaussian(inverse=true),noise=0.5,normalize=true",
    "residual-normalized-fsq": "rvq3x(fsq5-4-3,normalize=true)",
    "fsq-large": "fsq16-16-16-16-16-17",
    "fsq-cell": "fsq5-4-3-2-2-2,cell(1)",
    "residual-rescaled-fsq": "rfsq5-4-3-2-2-2,stages=3,dropout=0.5",
    "rescaled-fsq-projected": "rfsq7-4,stages=2",
    "residual-halved-lfq": "rlfq6,stages=3,dropout=0.5",
    "halved-lfq-projected": "rlfq4,stages=2,commitment=0.0",
    "lfq": "lfq6",
    "lfq-large": "lfq21",
    "lfq-share": "lfq6,share=0.4,offset=2.0",
    "residual-lfq-share": "rvq2x(lfq6,share=0.4)",
    "leech": "leech",
    "residual-leech-projected": "rvq2x(leech)",
    "bsq": "bsq6,group=4,commitment=0.1",
    "binarize": "binarize,threshold=0.1",
    "bits": "bits5,temperature=2.0",
    "bit-layers": "bitlayers3,temperature=0.5",
    "mapper": "mapper4,free=0.5",
    "memory": "memory11,temperature=0.7",
    "overlapped": "ovq3x(memory7)",
    "overlapped-mixed": "ovq(memory7|memory5),code_features=4",
    "overlapped-residual": "ovq2x(rvq2x(memory5))",
    "residual-memory": "rvq2x(memory5)",
    "random-projection": "rpq9,code_features=4",
    "residual-fsq": "rvq2x(fsq5-5-5)",
    "residual-bits": "rvq2x(bits3)",
    "grouped-lfq": "gvq2x(lfq3),shared=true",
    "channelwise": "channelwise(gvq2x7),split=4,groups=2",
    "blockwise": "blockwise(rvq2x7),split=2,groups=3",
    "patches": "patches(vq7),size=(2,2)",
    "multiscale": "multiscale3x7,shared=true,sizes=((1,1),(2,3),(3,4))",
    "multiscale-bilinear-dropout": "multiscale3x5,sizes=(2,4,8),bicubic=false,dropout=0.7,minimum_scales=2",
    "multiscale-separate": "multiscale2x(rvq2x5,dropout=0.5),sizes=(3,8),code_features=4",
    "multiscale-convolutions": "multiscale2x5,shared=true,sizes=(2,4),convolutions=convolutions(count=2)",
    "depth-three": "rvq2x(gvq2x(rvq2x4,dropout=0.5),shared=true)",
    "grouped-residual-grouped": "gvq2x(rvq2x(gvq2x3),code_features=4)",
    "residual-grouped-fsq": "rvq2x(gvq2x(fsq5-3-4))",
    "overlapped-grouped-bits": "ovq2x(gvq2x(rvq2x(bits2)))",
    "channelwise-grouped-residual": "channelwise(gvq2x(rvq2x5)),split=4,groups=2",
    "multiscale-grouped-residual": "multiscale2x(gvq2x(rvq2x4)),sizes=(2,4)",
}

FAMILY_SHAPES = (
    {  # each row an item of its own, as in the cropped batch: what is dropped is drawn for each item
        name: (40, FEATURES) for name, spec in SPECS.items() if "dropout" in spec
    }
    | {"channelwise": (3, FEATURES, 12), "blockwise": (3, FEATURES, 8), "patches": (3, FEATURES, 4, 6)}
    | {"channelwise-grouped-residual": (3, FEATURES, 12)}
    | {"multiscale": (9, 3, 4, FEATURES), "multiscale-separate": (9, 8, FEATURES)}
    | {"multiscale-bilinear-dropout": (9, 8, FEATURES), "multiscale-convolutions": (9, 4, FEATURES)}
    | {"multiscale-grouped-residual": (5, 4, FEATURES)}
)


def _builder(spec: str) -> Callable[[], Quantizer]:
    return lambda: codeword.from_spec(spec, features=FEATURES)


FAMILY_CASES: dict[str, Callable[[], Quantizer]] = {name: _builder(spec) for name, spec in SPECS.items()}

# Compiling takes seconds a case; of those that compile the same code one goes with every run, the others with the slow.
TRACED = ("residual-dropout", "bits")
SLOW_FAMILIES = {(name, "P6") for name in SPECS if name not in TRACED}
SLOW_FAMILIES |= {  # the same blocks as in smaller ones, again and again
    (name, "P5")
    for name in SPECS
    if name in ("overlapped", "residual-memory")
    or name.startswith(("multiscale-", "depth-", "grouped-residual", "overlapped-"))
}

LAYOUTS = ("channelwise", "blockwise", "patches", "channelwise-grouped-residual")
OF_MAPS = tuple(name for name in SPECS if name.startswith("multiscale"))
MAPS = "its indices are of maps, not of positions; tests/quantizers/test_multiscale.py holds it to the rest"

RELAXED = "its gradient is of a softmax over all codes: tests/quantizers/test_memory.py has the formula"
RELAXED_BITS = (
    "its gradient is of relaxed bits: test_bits.py and test_memory.py of tests/quantizers have the formula"
)
NORMALIZED = (
    "its gradient depends on running averages: tests/quantizers/test_normalized_fsq.py has the formula"
)

EXEMPT_FAMILIES: dict[tuple[str, str], str] = {
    (
        "fsq-symmetric-noise",
        "P3",
    ): "in training a share of the vectors is moved by noise instead of being rounded",
    (
        "fsq-normalized-noise",
        "P3",
    ): "in training a share of the vectors is moved by noise instead of being rounded",
    **{
        (layout, promise): "its indices are of pieces, not of positions; tests/quantizers/test_layouts.py"
        for layout in LAYOUTS
        for promise in ("P4", "P12")
    },
    **{(name, promise): MAPS for name in OF_MAPS for promise in ("P4", "P12")},
    ("fsq-normalized", "P11"): NORMALIZED,
    ("fsq-normalized-noise", "P11"): NORMALIZED,
    ("mapper", "P11"): "its gradient is of all codes: tests/quantizers/test_binary_mapper.py has the formula",
    ("memory", "P11"): RELAXED,
    ("overlapped", "P11"): RELAXED,
    ("overlapped-mixed", "P11"): RELAXED,
    ("bits", "P11"): RELAXED_BITS,
    ("bit-layers", "P11"): RELAXED_BITS,
    ("random-projection", "P3"): "its indices are targets and do not decode, as the error of decode says",
    ("random-projection", "P12"): "its indices do not decode, so those out of range cannot be told either",
}
