"""P6: one graph for the first batch, one for all others whatever their size, and a program to export."""

from __future__ import annotations

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import codeword
from promises.cases import every_case

# torch's own tracer instantiates autograd functions, against its own advice
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def resized(x: torch.Tensor, quantizer, size: int) -> torch.Tensor:
    """The input with `size` samples on the first axis that is not the features', marked as one that varies."""
    axis = 1 if quantizer.dim == 0 else 0
    repeats = [1] * x.ndim
    repeats[axis] = -(-size // x.shape[axis])
    x = x.repeat(repeats).narrow(axis, 0, size).contiguous()
    torch._dynamo.mark_dynamic(x, axis)
    return x


def compiled(quantizer):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(quantizer, backend=counter, fullgraph=True), counter


@every_case("P6")
def test_training_steps_share_one_graph(case):
    quantizer = case.trained()
    eager = copy.deepcopy(quantizer)
    run, counter = compiled(quantizer)
    for step, size in enumerate((8, 9, 7, 12)):
        x = resized(case.x(step), quantizer, size).requires_grad_()
        out, expected = run(x), eager(x)
        (out.quantized.sum() + out.loss).backward()
        torch.testing.assert_close(out.quantized, expected.quantized)
        torch.testing.assert_close(out.loss, expected.loss)
        assert torch.equal(out.indices, expected.indices)
    assert counter.frame_count == 1
    for key, value in quantizer.state_dict().items():
        torch.testing.assert_close(value, eager.state_dict()[key])


@every_case("P6")
def test_eval_and_export(case):
    quantizer = case.trained().eval()
    run, counter = compiled(quantizer)
    for size in (8, 9, 7):
        x = resized(case.x(), quantizer, size)
        assert torch.equal(run(x).quantized, quantizer(x).quantized)
    assert counter.frame_count == 1
    axis = 1 if quantizer.dim == 0 else 0
    shapes = ({axis: torch.export.Dim("samples", min=2)},)
    with torch.no_grad():  # a program to serve: surrogate gradients stay out of it
        program = torch.export.export(quantizer, (resized(case.x(), quantizer, 6),), dynamic_shapes=shapes)
    x = resized(case.x(1), quantizer, 11)
    assert torch.equal(program.module()(x).indices, quantizer.encode(x))


def test_the_first_batch_has_one_graph_of_its_own():
    torch.manual_seed(0)
    vq = codeword.VectorQuantizer(6, 11)
    eager = copy.deepcopy(vq)
    run, counter = compiled(vq)
    for step in range(4):
        x = torch.randn(40 + step, 6)
        torch._dynamo.mark_dynamic(x, 0)
        torch.testing.assert_close(run(x).quantized, eager(x).quantized)
    assert counter.frame_count == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own, in inductor
def test_inductor_compiles_the_default_layer():
    torch.manual_seed(0)
    vq = codeword.VectorQuantizer(16, 64)
    vq(torch.randn(500, 16))
    eager = copy.deepcopy(vq)
    torch._dynamo.reset()
    run = torch.compile(vq, fullgraph=True, dynamic=True)
    for step in range(3):
        x = torch.randn(300 + step, 16)
        torch.testing.assert_close(run(x).quantized, eager(x).quantized)
