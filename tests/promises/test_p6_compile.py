"""P6: one graph for the first batch, one for all others whatever their size, and programs to save and load."""

from __future__ import annotations

import ast
import copy
import inspect
import io
import textwrap

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters
from torch.utils._pytree import tree_leaves

import codeword
from codeword import export
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.spec.parts import PARTS
from codeword.torch_versions import COMPILES, VERSION
from promises.cases import CASES, EXEMPT, SLOW, Case, every_case

# torch's own tracer instantiates autograd functions, against its own advice
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.skipif(VERSION < COMPILES, reason="an older torch compiles no step whole"),
]

SIZES = (8, 9, 7, 12, 5, 11, 13, 6, 10, 14, 8, 4, 15, 9, 3, 16, 7, 2, 12, 8)  # of 20 batches
SAVED = ("vq", "vq-first-axis", "residual-dropout", "grouped-dropout", "qinco", "bits")  # at every run


def resized(x: torch.Tensor, quantizer, size: int) -> torch.Tensor:
    """The input with `size` samples on the first axis that is not the features', marked as one that varies."""
    axis = 1 if quantizer.dim == 0 else 0
    repeats = [1] * x.ndim
    repeats[axis] = -(-size // x.shape[axis])
    x = x.repeat(repeats).narrow(axis, 0, size).contiguous()
    torch._dynamo.mark_dynamic(x, axis)
    return x


def compiled(quantizer, backend: str = "aot_eager"):
    torch._dynamo.reset()
    counters.clear()
    counter = CompileCounterWithBackend(backend)
    return torch.compile(quantizer, backend=counter, fullgraph=True), counter


def assert_graphs(counter, count: int) -> None:
    assert counter.frame_count == count
    assert counters["stats"]["unique_graphs"] == count
    assert not counters["graph_break"]


def train_alike(run, eager, case, sizes) -> None:
    """The compiled quantizer and its copy take the same steps, with the same results and gradients."""
    for step, size in enumerate(sizes):
        x = resized(case.x(step), eager, size).requires_grad_()
        y = x.detach().clone().requires_grad_()
        out, expected = run(x), eager(y)
        for result in (out, expected):
            (result.quantized.square().sum() + result.loss).backward()
        torch.testing.assert_close(out.quantized, expected.quantized)
        torch.testing.assert_close(out.loss, expected.loss)
        assert torch.equal(out.indices, expected.indices)
        assert_same_gradients([x, *run.parameters()], [y, *eager.parameters()])


def assert_same_gradients(tensors, others) -> None:
    for tensor, other in zip(tensors, others, strict=True):
        assert (tensor.grad is None) == (other.grad is None)
        if other.grad is not None:
            torch.testing.assert_close(tensor.grad, other.grad, rtol=1e-4, atol=1e-5)
            tensor.grad = other.grad = None


def assert_same_state(quantizer, eager) -> None:
    expected = eager.state_dict()
    for key, value in quantizer.state_dict().items():
        torch.testing.assert_close(value, expected[key], msg=lambda text, key=key: f"{key}: {text}")


@every_case("P6")
def test_training_steps_share_one_graph(case):
    quantizer = case.trained()
    eager = copy.deepcopy(quantizer)
    run, counter = compiled(quantizer)
    with torch._dynamo.config.patch(error_on_recompile=True):  # which says why
        train_alike(run, eager, case, SIZES)
    assert_graphs(counter, 1)
    assert_same_state(quantizer, eager)


@every_case("P6")
def test_eval_shares_one_graph(case):
    quantizer = case.trained().eval()
    run, counter = compiled(quantizer)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for step, size in enumerate(SIZES):
            x = resized(case.x(step), quantizer, size)
            assert torch.equal(run(x).quantized, quantizer(x).quantized)
    assert_graphs(counter, 1)


def left_to_the_slow_tests() -> list[Case]:
    """One case of each quantizer of which the tests above leave every case to the slow ones."""
    bound = [case for case in CASES if (case.name, "P6") not in EXEMPT]
    quick = {type(case.build()) for case in bound if (case.name, "P6") not in SLOW}
    first = {type(case.build()): case for case in reversed(bound)}
    return [case for kind, case in first.items() if kind not in quick]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=pytest.mark.slow if number % 3 else ())
        for number, case in enumerate(left_to_the_slow_tests())
    ],
)
def test_every_quantizer_is_one_graph(case):
    """What Python there is, which is most that can go wrong; the slow tests go on to the operators below it."""
    quantizer = case.trained()
    eager = copy.deepcopy(quantizer)
    for training in (True, False):
        run, counter = compiled(quantizer.train(training), "eager")
        eager.train(training)
        with torch._dynamo.config.patch(error_on_recompile=True):
            for step, size in enumerate(SIZES[:3]):
                x = resized(case.x(step), eager, size)
                torch.testing.assert_close(run(x).quantized, eager(x).quantized)
        assert_graphs(counter, 1)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if case.name in SAVED else pytest.mark.slow)
        for case in CASES
        if (case.name, "P6") not in EXEMPT
    ],
)
def test_programs_are_saved_and_loaded(case):
    quantizer = case.trained().eval()
    x = resized(case.x(1), quantizer, 11)
    parts = {"forward": x, "encode": x, "decode": quantizer.encode(x)}
    if not quantizer.decodes:
        del parts["decode"]
    for part, given in parts.items():
        file = io.BytesIO()
        torch.export.save(export.program(quantizer, part, case.x()), file)
        file.seek(0)
        out, expected = torch.export.load(file).module()(given), getattr(quantizer, part)(given)
        assert type(out) is type(expected)
        torch.testing.assert_close(tree_leaves(out), tree_leaves(expected), rtol=0, atol=0)


def own_classes() -> list[type]:
    """Every class of a quantizer, of a part, and of what they inherit from."""
    listed = [
        *(QUANTIZERS[name] for name in QUANTIZERS),
        *(PARTS[name] for name in PARTS),
        codeword.codebooks.Codebook,
    ]
    found = dict.fromkeys(base for cls in listed for base in cls.__mro__)
    return [cls for cls in found if cls.__module__.startswith("codeword")]


def reached_by_super(cls: type) -> set[str]:
    """What the methods of a class take from super(), of what is a property somewhere."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    supers = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    names = {node.attr for node in supers if ast.unparse(node.value).startswith("super(")}
    properties = {
        name for base in own_classes() for name, value in vars(base).items() if isinstance(value, property)
    }
    return names & properties


def test_no_property_is_reached_through_super():
    """torch.compile takes one for the property object, which is true, whatever it would give."""
    classes = own_classes()
    assert {codeword.Quantizer, codeword.VectorQuantizer, codeword.EMA} <= set(classes)
    assert {cls.__name__: found for cls in classes if (found := reached_by_super(cls))} == {}


class Reaching(codeword.VectorQuantizer):
    """What the test before is about."""

    @property
    def ready(self) -> bool:
        return super().ready


def test_such_a_property_would_be_found():
    assert reached_by_super(Reaching) == {"ready"}


@pytest.mark.slow
@every_case("P6")
def test_the_first_batch_has_a_graph_of_its_own(case):
    torch.manual_seed(0)
    quantizer = case.build()
    eager = copy.deepcopy(quantizer)
    graphs = 1 if quantizer.ready else 2
    run, counter = compiled(quantizer)
    train_alike(run, eager, case, SIZES[:4])
    assert_graphs(counter, graphs)
    assert_same_state(quantizer, eager)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own, in inductor
def test_inductor_compiles_the_default_layer():
    torch.manual_seed(0)
    vq = codeword.VectorQuantizer(16, 64)
    vq(torch.randn(500, 16))
    eager = copy.deepcopy(vq)
    torch._dynamo.reset()
    counters.clear()
    run = torch.compile(vq, fullgraph=True, dynamic=True)
    for step in range(20):
        x = torch.randn(300 + step, 16)
        torch.testing.assert_close(run(x).quantized, eager(x).quantized)
    assert counters["stats"]["unique_graphs"] == 1
