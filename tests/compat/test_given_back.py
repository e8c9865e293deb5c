"""A state that was loaded is given back bit for bit, by every facade, into whatever it was loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import vector_quantize_pytorch as original
from torch import Tensor, nn

from codeword import CodewordError, VectorQuantizer
from codeword.compat import export_state_dict
from codeword.compat import vector_quantize_pytorch as facade
from codeword.compat.bitcodes_pytorch import Bitcodes
from codeword.compat.quantizer_pytorch.quantizer import MQ1d, QBit1d, Quantizer1d
from codeword.compat.semivq.nn.vq import VectorQuant as SemiVQ
from codeword.compat.torchtools.nn import FSQ, Binarize, VectorQuantize
from codeword.compat.vqtorch import AffineTransform, GroupVectorQuant, VectorQuant, norms
from codeword.compat.vqtorch.nn import MaxVecPool2d

State = dict[str, Tensor]


def counts_and_sums(stages: int) -> State:
    """Of a layer that was never trained: counts of 0, and of every stage the sums of the codes that it drew."""
    codes = torch.randn(2, 16, 4)
    state = {}
    for stage in range(stages):
        place = f"quantize.quantizers.{stage}."
        state[place + "codebooks"] = codes
        state[place + "ema_cluster_size"] = torch.zeros(2, 16)
        state[place + "ema_embedding_sum"] = torch.randn(2, 16, 4) if stage else codes
    return state


def after_a_step() -> State:
    """A count of 0 stays 0, and its sum, no longer that of its code, decays."""
    state = counts_and_sums(2)
    for stage in range(2):
        state[f"quantize.quantizers.{stage}.ema_cluster_size"][:, ::2] = torch.rand(2, 8)
        state[f"quantize.quantizers.{stage}.ema_embedding_sum"] *= 0.99
    return state


def zero_sums() -> State:
    weight, counts = torch.randn(16, 8), torch.ones(16)
    return {"codebook.weight": weight, "ema_element_count": counts, "ema_weight_sum": torch.zeros(16, 8)}


IMAGE = (2, 8, 3, 4)
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], State], tuple[int, ...]]] = {
    "counts": (lambda: Quantizer1d(8, 2, 16, rule="ema"), lambda: counts_and_sums(1), (2, 8, 5)),
    "counts, shared": (lambda: Quantizer1d(8, 2, 16, 3), lambda: counts_and_sums(3), (2, 8, 5)),
    "counts, trained": (lambda: Quantizer1d(8, 2, 16, 2), after_a_step, (2, 8, 5)),
    "sums": (lambda: VectorQuantize(8, 16, ema_loss=True), zero_sums, (5, 8)),
    "counters": (
        lambda: GroupVectorQuant(8, 25, groups=2, share=False, replace_freq=2),
        lambda: {"codebook.weight": torch.randn(24, 4), "_counts": torch.arange(25.0)},
        IMAGE,
    ),
    "flag": (
        lambda: VectorQuant(8, 16, kmeans_init=True),
        lambda: {"codebook.weight": torch.randn(16, 8), "data_initialized": torch.zeros(1)},
        IMAGE,
    ),
}
OWN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "norm": (lambda: VectorQuant(8, 16, norm="bn", replace_freq=3), IMAGE),
    "networks": (lambda: SemiVQ(8, 16, use_learnable_std=True), IMAGE),
    "affine": (lambda: AffineTransform(8, use_running_statistics=True), (16, 8)),
    "bits": (lambda: Bitcodes(8, 4, 1.0), (5, 8)),
    "mq": (lambda: MQ1d(8, 16, 2, 1.0), (2, 8, 6)),
    "qbit": (lambda: QBit1d(8, 2, 2, 1.0), (2, 8, 6)),
    "levels": (lambda: FSQ([4, 5]), (5, 2)),
    "binarize": (Binarize, (5, 8)),
    "pool": (MaxVecPool2d, IMAGE),
    "max norm": (norms.MaxNormConstraint, (5, 8)),
    "normalize": (norms.Normalize, (5, 8)),
}
CASES |= {
    name: (build, lambda build=build: copy.deepcopy(export_state_dict(build())), shape)
    for name, (build, shape) in OWN.items()
}
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "vq": ("VectorQuantize", {"dim": 8, "codebook_size": 16}),
    "vq k-means": ("VectorQuantize", {"dim": 8, "codebook_size": 16, "kmeans_init": True}),
    "vq cosine": ("VectorQuantize", {"dim": 8, "codebook_size": 16, "use_cosine_sim": True}),
    "vq gradient": (
        "VectorQuantize",
        {"dim": 8, "codebook_size": 16, "learnable_codebook": True, "ema_update": False},
    ),
    "residual shared": (
        "ResidualVQ",
        {"dim": 8, "num_quantizers": 2, "codebook_size": 16, "shared_codebook": True},
    ),
    "simvq": ("SimVQ", {"dim": 8, "codebook_size": 16}),
    "lfq": ("LFQ", {"dim": 8, "codebook_size": 16}),
    "fsq": ("FSQ", {"levels": [4, 4], "dim": 8}),
    "vq held": ("VectorQuantize", {"dim": 8, "codebook_size": 16, "ema_update": False}),
    "vq waits": ("VectorQuantize", {"dim": 8, "codebook_size": 16, "manual_ema_update": True}),
    "vq bridge": ("VectorQuantize", {"dim": 8, "codebook_size": 16, "vq_bridge": nn.Linear(8, 8)}),
    "vq norm": (
        "VectorQuantize",
        {"dim": 8, "codebook_size": 16, "codebook_dim": 4, "layernorm_after_project_in": True},
    ),
    "vq dead codes": (
        "VectorQuantize",
        {
            "dim": 8,
            "codebook_size": 64,
            "learnable_codebook": True,
            "ema_update": False,
            "threshold_ema_dead_code": 2,
        },
    ),
    "residual implicit": (
        "ResidualVQ",
        {"dim": 8, "num_quantizers": 3, "codebook_size": 16, "implicit_neural_codebook": True},
    ),
    "residual lfq": ("ResidualLFQ", {"dim": 8, "codebook_size": 16, "num_quantizers": 2}),
    "grouped residual fsq": (
        "GroupedResidualFSQ",
        {"dim": 8, "groups": 2, "levels": [4, 4], "num_quantizers": 2},
    ),
    "no state": ("FSQ", {"levels": [4] * 8}),
    "simvq narrow": ("SimVQ", {"dim": 8, "codebook_size": 16, "frozen_codebook_dim": 3}),
    "labels": ("RandomProjectionQuantizer", {"dim": 8, "codebook_size": 16, "codebook_dim": 4}),
}


def check_given_back(module: nn.Module, state: State) -> None:
    module.load_state_dict({key: value.clone() for key, value in state.items()})
    back = export_state_dict(module)
    assert sorted(back) == sorted(state)
    for key, value in state.items():
        assert back[key].dtype == value.dtype, key
        assert torch.equal(back[key], value), key


def train(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    for step in range(3):
        module.train()(torch.randn(shape, generator=torch.Generator().manual_seed(step)))
    return module


@pytest.mark.parametrize("name", CASES)
def test_a_state_is_given_back_as_it_came(name: str) -> None:
    torch.manual_seed(0)
    build, state, shape = CASES[name]
    first, second = state(), state()
    module = build()
    check_given_back(module, first)
    check_given_back(module, second)
    check_given_back(train(build(), shape), first)
    check_given_back(copy.deepcopy(module), first)
    check_given_back(nn.Sequential(module), {f"0.{key}": value for key, value in first.items()})


@pytest.mark.parametrize("name", CASES)
def test_after_a_step_it_is_another_state(name: str) -> None:
    """What is given back is what there is: a module that loads it goes on as the one that gave it."""
    torch.manual_seed(0)
    build, state, shape = CASES[name]
    module, other = build(), build()
    module.load_state_dict(state())
    train(module, shape)
    given = copy.deepcopy(export_state_dict(module))
    check_given_back(other, given)
    x = torch.randn(shape)
    outs = [layer.eval()(x) for layer in (module, other)]
    outs = [out[0] if isinstance(out, tuple) else out for out in outs]
    assert torch.equal(outs[0], outs[1])


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("name", PEERS)
def test_a_state_of_the_peer_is_given_back_as_it_came(name: str, steps: int) -> None:
    torch.manual_seed(0)
    cls, options = PEERS[name]
    theirs, ours = getattr(original, cls)(**options), getattr(facade, cls)(**options)
    for _ in range(steps):
        theirs(torch.randn(4, 40, 8))
    state = copy.deepcopy(theirs.state_dict())
    check_given_back(ours, state)
    check_given_back(train(getattr(facade, cls)(**options), (4, 40, 8)), state)


@pytest.mark.parametrize(
    "options", [{}, {"learnable_codebook": True, "ema_update": False}], ids=["ema", "gradient"]
)
def test_with_fewer_rows_than_dead_codes_as_many_are_replaced(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    options = {"dim": 4, "codebook_size": 64, "threshold_ema_dead_code": 2, **options}
    theirs, ours = original.VectorQuantize(**options), facade.VectorQuantize(**options)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 5, 4)
    theirs(x), ours(x)
    replaced = theirs._codebook.cluster_size == 2  # which begin at the threshold; all others are below it
    ours(x)  # at whose start they move
    assert int(ours.quantizer.usage().revived) == int(replaced.sum()) == 5


@pytest.mark.parametrize(
    "build", [VectorQuant, SemiVQ, GroupVectorQuant], ids=["vqtorch", "semivq", "groups"]
)
@pytest.mark.parametrize("rows", [3, 40])
def test_with_fewer_rows_than_unused_codes_all_of_them_are_replaced(build: Any, rows: int) -> None:
    """There rows are drawn without repeats if they suffice, and with repeats if not."""
    torch.manual_seed(0)
    layer = build(8, 24, replace_freq=2).train()
    before = layer.codebook.weight.detach().clone()
    used = set()
    for _ in range(2):
        used |= set(layer(torch.randn(1, 8, rows))[1]["q"].flatten().tolist())
    moved = (layer.codebook.weight.detach() != before).any(1)
    assert set(moved.nonzero().flatten().tolist()) == set(range(24)) - used
    assert len(layer.codebook.weight[moved].detach().unique(dim=0)) == int(moved.sum())  # by their noise


@pytest.mark.parametrize(
    ("names", "passes"),
    [
        (("counts", "counts, shared", "sums", "counters", "flag", "binarize"), True),
        (("bits", "mq", "qbit"), False),
    ],
    ids=["straight through", "none"],
)
def test_the_gradient_that_the_input_gets_in_eval(names: tuple[str, ...], passes: bool) -> None:
    """That of the originals; of sequences and of Binarize, where theirs passes none, see docs/moving."""
    for name in names:
        torch.manual_seed(0)
        build, _, shape = CASES[name]
        x = torch.randn(shape, requires_grad=True)
        out = build().eval()(x)
        out = out[0] if isinstance(out, tuple) else out
        direction = torch.randn(shape)
        if passes or out.requires_grad:
            out.backward(direction)
        found = torch.zeros(shape) if x.grad is None else x.grad
        torch.testing.assert_close(found, direction if passes else torch.zeros(shape), msg=name)


def test_loading_forgets_the_rows_that_stood_by_for_dead_codes() -> None:
    """They are rows of the batches before, and would take the places of codes of the state."""
    torch.manual_seed(0)
    build = lambda: facade.VectorQuantize(8, 16, threshold_ema_dead_code=2)  # noqa: E731
    state = export_state_dict(build())
    state["_codebook.cluster_size"] = torch.full((1, 16), 1.0)
    fresh, trained = build(), train(build(), (4, 40, 8))
    for module in (fresh, trained):
        module.load_state_dict(state)
        module.train()(torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(9)))
    assert torch.equal(fresh.codebook, trained.codebook)


def test_a_quantizer_outside_of_a_facade_is_refused() -> None:
    model = nn.Sequential(VectorQuantize(8, 16), VectorQuantizer(8, 16))
    with pytest.raises(CodewordError, match="convert_back"):
        export_state_dict(model)
    assert list(export_state_dict(nn.Linear(2, 2))) == ["weight", "bias"]
