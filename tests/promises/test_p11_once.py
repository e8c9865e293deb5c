"""P11: the estimator is applied once: however many parts an output is the sum of, the encoder gets one gradient.

That is the formula of the estimator at the row and the whole output, here in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from codeword import EMA, Grouped, Multiscale, Quantizer, Residual, VectorQuantizer
from codeword.estimators import Directional, Rotation, Sampled, StraightThrough
from codeword.inits import Sample
from codeword.penalties import CodebookLoss, Commitment
from codeword.updates import Gradient
from promises.cases import every_case
from promises.test_p4_masks import rows_of

Law = Callable[
    [Tensor, Tensor, Tensor], Tensor
]  # rows (N, D), output (N, D), gradient of it (N, D) -> of the rows


def straight(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    return g


def unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def turned(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    """The transpose of I - 2 r r^T + 2 q^ x^^T."""
    r = unit(unit(x) + unit(q))
    return g - 2 * r * dot(r, g) + 2 * unit(x) * dot(unit(q), g)


def turned_and_scaled(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    return turned(x, q, g) * q.norm(dim=-1, keepdim=True) / x.norm(dim=-1, keepdim=True)


def across(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    """What is left of the gradient along the error."""
    return g - unit(q - x) * dot(unit(q - x), g)


def on_sphere(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    return (g - unit(x) * dot(unit(x), g)) / x.norm(dim=-1, keepdim=True)


def with_norm(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    """Of |x| c, c a unit code, straight through to x / |x|."""
    size = x.norm(dim=-1, keepdim=True)
    return on_sphere(x, q, g) * size + dot(q / size, g) * unit(x)


def staying(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    """Of groups that are left out, whose output is zeros, nothing."""
    return g * (q != 0)


def reach(levels: tuple[int, ...]) -> Tensor:
    """L / (L - 1)."""
    grid = torch.tensor(levels, dtype=torch.float64)
    return grid / (grid - 1)


def of_bound(levels: tuple[int, ...], steepness: float = 1.0) -> Law:
    """The tanh of FSQ: h sech^2(s (z + shift)) s / floor(L / 2)."""
    grid = torch.tensor(levels, dtype=torch.float64)
    half, offset = (grid - 1) * (1 - 1e-3) / 2, (1 - grid % 2) / 2
    shift = torch.tan(offset / half) / steepness
    return lambda x, q, g: g * steepness * half / (grid // 2) / torch.cosh(steepness * (x + shift)).square()


def of_clamp(levels: tuple[int, ...]) -> Law:
    """h / floor(L / 2) where the shifted number is within -1 to 1."""
    grid = torch.tensor(levels, dtype=torch.float64)
    half, offset = (grid - 1) * 1.001 / 2, (1 - grid % 2) / 2
    return lambda x, q, g: g * half / (grid // 2) * ((x + offset / half).abs() <= 1)


def of_density(density: Callable[[Tensor], Tensor]) -> Law:
    """2 sqrt(3) F'(x)."""
    return lambda x, q, g: g * 2 * 3**0.5 * density(x)


def symmetric(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    return g / torch.cosh(x).square()


def within(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    """Of Cell(1), which clamps to a cell; the levels are those of the case."""
    edge = 1 / torch.tensor((5, 4, 3, 2, 2, 2), dtype=torch.float64)
    return torch.where(x.abs() < edge, g, 0)


def by_logit(x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    """Of logit(clamp(p)) at the rounded p, with p = sigmoid(z)."""
    p = torch.sigmoid(q)
    inside = (p > 0.1 + 1e-6) & (p < 0.9 - 1e-6)
    return torch.where(inside, g * torch.sigmoid(x) * torch.sigmoid(-x) / (p * (1 - p)), 0)


def softly(levels: tuple[int, ...]) -> Law:
    """c tanh(x / c) of ResidualFSQ."""
    c = reach(levels)
    return lambda x, q, g: g / torch.cosh(x / c).square()


# What is not here is passed straight through.
LAWS: dict[str, Law] = {
    "rotation": turned_and_scaled,
    "rotation-unscaled": turned,
    "cosine-unit": on_sphere,
    "cosine-norm": with_norm,
    "bsq": on_sphere,
    "leech": on_sphere,
    "grouped-dropout": staying,
    "grouped-shared-dropout": staying,
    "grouped-residual-dropout": staying,
    "fsq": of_bound((8, 5, 5, 5, 3, 2)),
    "fsq-projected": of_bound((7, 5)),
    "fsq-sigmoid": of_bound((5, 5, 5), 0.8),
    "fsq-large": of_bound((16, 16, 16, 16, 16, 17)),
    "fsq-symmetric-noise": symmetric,
    "fsq-logit": by_logit,
    "fsq-cell": within,
    "fsq-gaussian": of_density(lambda x: torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5),
    "fsq-moments": of_density(lambda x: torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5),
    "logistic": of_density(lambda x: x.sigmoid() * (1 - x.sigmoid())),
    "cauchy": of_density(lambda x: 1 / (torch.pi * (1 + x.square()))),
    "fsq-laplacian-inverse": lambda x, q, g: g * torch.exp((q.abs() - x.abs()) / 0.5),
    "fsq-clamp-digits": of_clamp((5, 4, 3, 2, 2, 2)),
    "residual-rescaled-fsq": softly((5, 4, 3, 2, 2, 2)),
    "rescaled-fsq-projected": softly((7, 4)),
    "residual-grouped-fsq": of_bound((5, 3, 4, 5, 3, 4)),  # that of the first stage
    "overlapped-residual": lambda x, q, g: 2 * g,  # two parts that both see x, each of them once
    "overlapped-grouped-bits": lambda x, q, g: 2 * g,
}
SHAKEN = ("directional", "space-filling")  # by noise, so that only the direction of what is lost is known
NOISY = ("fsq-symmetric-noise",)  # in training some vectors are moved instead of being rounded


def gradients(quantizer: Quantizer, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows, their output, a gradient of it and what the rows get of that, all (N, features) in float64."""
    x = x.clone().requires_grad_()
    out = quantizer(x).quantized
    g = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    (back,) = torch.autograd.grad(out, x, g)
    x, out, g, back = (rows_of(quantizer, value.detach()).double() for value in (x, out, g, back))
    return x, out, g, back


def expected(quantizer: Quantizer, law: Law, x: Tensor, q: Tensor, g: Tensor) -> Tensor:
    """The law between the projections that lead in and out, of the whole or of each group."""
    state = quantizer.state_dict()
    of_groups = isinstance(quantizer, Grouped) and quantizer.project_in is None
    owners = ["quantizers.0.", "quantizers.1."] if of_groups else [""]
    if f"{owners[0]}project_in.weight" not in state:
        return law(x, q, g)

    def joined(name: str) -> Tensor:
        return torch.block_diag(*(state[owner + name].double() for owner in owners))

    bias = torch.cat([state[f"{owner}project_in.bias"].double() for owner in owners])
    inner = x @ joined("project_in.weight").T + bias
    return law(inner, q, g @ joined("project_out.weight")) @ joined(
        "project_in.weight"
    )  # none here looks at q


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@every_case("P11")
def test_the_encoder_gets_one_gradient(case):
    quantizer = case.trained(
        case.name in SHAKEN
    )  # at the first batch some rows are codes, which have no direction
    for training in (True, False):
        if training and case.name in NOISY:
            continue
        quantizer.train(training)
        x, q, g, back = gradients(quantizer, case.x(5))
        if case.name in SHAKEN:
            close(across(x, q, back), across(x, q, g))
        else:
            close(back, expected(quantizer, LAWS.get(case.name, straight), x, q, g))


BOTH = (Commitment(), CodebookLoss())
MOVING, LEARNED = EMA(init=Sample()), Gradient(init=Sample())
ESTIMATORS = [
    pytest.param(StraightThrough(), MOVING, straight, id="straight-through"),
    pytest.param(Sampled(0.3), MOVING, straight, id="sampled"),
    pytest.param(StraightThrough(sync=0.5), LEARNED, straight, id="synchronised"),
    pytest.param(Rotation(), MOVING, turned_and_scaled, id="rotation"),
    pytest.param(Rotation(scaled=False), MOVING, turned, id="rotation-unscaled"),
]


def vq(estimator, codebook, features: int = 6) -> VectorQuantizer:
    penalties = BOTH if isinstance(codebook, Gradient) else BOTH[:1]
    return VectorQuantizer(features, 9, update=codebook, estimator=estimator, penalties=penalties)


STACKS = {
    "1 stage": lambda *parts: Residual([vq(*parts)]),
    "2 stages": lambda *parts: Residual([vq(*parts) for _ in range(2)]),
    "4 stages": lambda *parts: Residual([vq(*parts) for _ in range(4)]),
    "4 times a stage": lambda *parts: Residual([vq(*parts)] * 4),
    "4 one by one": lambda *parts: Residual([vq(*parts) for _ in range(4)], stagewise=True),
    "2 of 2": lambda *parts: Residual([Residual([vq(*parts) for _ in range(2)]) for _ in range(2)]),
    "3 scales": lambda *parts: Multiscale([vq(*parts) for _ in range(3)], sizes=(1, 2, 4)),
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("estimator", "codebook", "law"), ESTIMATORS)
def test_a_stack_passes_the_estimator_once(stack, estimator, codebook, law):
    torch.manual_seed(0)
    quantizer = STACKS[stack](estimator, codebook)
    draw = torch.Generator().manual_seed(0)
    for training in (True, False):
        quantizer.train(training)
        x, q, g, back = gradients(quantizer, torch.randn(40, 4, 6, generator=draw, dtype=torch.float32))
        close(back, law(x, q, g))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("estimator", "codebook", "law"), ESTIMATORS)
def test_a_group_passes_the_estimator_once(count, estimator, codebook, law):
    torch.manual_seed(0)
    stacks = [Residual([vq(estimator, codebook, 6 // count) for _ in range(2)]) for _ in range(count)]
    quantizer = Grouped(stacks)
    for training in (True, False):
        quantizer.train(training)
        x, q, g, back = gradients(quantizer, torch.randn(40, 6, dtype=torch.float32))
        shares = [value.unflatten(1, (count, -1)).flatten(0, 1) for value in (x, q, g)]
        close(back, law(*shares).view_as(back))


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_a_stack_of_directions_gives_the_encoder_the_whole_gradient_once(stages):
    torch.manual_seed(0)
    estimator = Directional(noise=0.0)
    quantizer = Residual(
        [VectorQuantizer(6, 9, estimator=estimator, update=LEARNED, penalties=()) for _ in range(stages)]
    )
    for training in (True, False):
        quantizer.train(training)
        _, _, g, back = gradients(quantizer, torch.randn(40, 6, dtype=torch.float32))
        close(back, g)
