"""A template for a part of your own: copy this file, and change the lines that are marked with CHANGE.

    python part_template.py       # runs the checks below
    pytest part_template.py

The part here is an estimator: it decides what gradient the encoder gets. `codeword.axes` has the base classes of the
other kinds of parts, with the methods that each needs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

import codeword
from codeword.axes import Estimator, Lookup


@dataclass(frozen=True)
class Trusted(Estimator):
    """CHANGE: one sentence that says what it does, and the formula.

    The gradient passes straight through for rows near their codes, and is zero for others:
    dq/dx = I where |x - q| <= radius, else 0.

    Args:
        radius: the largest distance, above 0.

    Source: CHANGE: the paper, or nothing.
    """

    radius: float = 1.0

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise codeword.CodewordError.of("radius above 0", f"{self.radius}", "pass for example 1.0")

    def surrogate(self, lookup: Lookup) -> Tensor:
        """A differentiable function of the rows (N, D). Its gradient is used, its value is not."""
        near = (lookup.rows - lookup.q).detach().norm(dim=-1, keepdim=True) <= self.radius
        return torch.where(near, lookup.rows, lookup.rows.detach())


PART = Trusted(radius=1.2)  # CHANGE: the part that is checked below


def quantizer() -> codeword.VectorQuantizer:
    torch.manual_seed(0)
    vq = codeword.VectorQuantizer(4, 16, estimator=PART)  # CHANGE: or update=, metric=, penalties=(PART,)
    vq(torch.randn(256, 4))
    return vq


def test_the_gradient_is_that_of_the_formula() -> None:
    """CHANGE: compare with something independent: the formula in NumPy, the paper's code, finite differences."""
    vq = quantizer().eval()
    x = torch.randn(64, 4, requires_grad=True)
    q = vq(x).quantized
    q.sum().backward()
    near = (x - q).norm(dim=-1).detach() <= PART.radius
    assert x.grad is not None
    assert torch.equal(x.grad, near.float()[:, None].expand(-1, 4))
    assert 0 < near.sum() < 64  # both cases were seen


def test_indices_decode_to_the_output() -> None:
    vq = quantizer()
    out = vq(torch.randn(64, 4))
    assert torch.equal(vq.decode(out.indices), out.quantized)


def test_its_state_reloads() -> None:
    vq, other = quantizer(), quantizer()
    vq(torch.randn(64, 4))
    other.load_state_dict(vq.state_dict())
    x = torch.randn(64, 4)
    assert torch.equal(vq(x).quantized, other(x).quantized)


def test_a_masked_batch_equals_a_cropped_one() -> None:
    """A penalty must weight rows with `lookup.valid.weights(dtype)` (N,), or its loss counts masked rows."""
    whole, cropped = quantizer(), quantizer()
    x = torch.randn(1, 64, 4)
    out, wanted = whole(x, mask=torch.arange(64)[None] < 40), cropped(x[:, :40])
    torch.testing.assert_close(out.quantized[:, :40], wanted.quantized)
    torch.testing.assert_close(out.loss, wanted.loss)


if __name__ == "__main__":
    tests = [value for name, value in dict(vars()).items() if name.startswith("test_")]
    for test in tests:
        test()
        print(f"{test.__name__}: passed")
    print(f"all {len(tests)} checks of {PART} passed")
