"""Codebooks with more codes or fewer: alone, as stages, groups and parts of models; and training goes on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import codeword
from codeword import VectorQuantizer, freeze
from codeword.inits import Normal
from codeword.models import resize
from codeword.penalties import CodebookLoss
from codeword.transforms import Gamma, Linear
from codeword.updates import Frozen, Gradient

LEARNED = {"update": Gradient(), "penalties": (CodebookLoss(),)}


def rows(count: int = 200, features: int = 4) -> torch.Tensor:
    return torch.randn(count, features)


def trained(spec: str) -> codeword.Quantizer:
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=4)
    for _ in range(3):
        quantizer(rows())
    return quantizer


def goes_on(quantizer: codeword.Quantizer) -> None:
    """It trains, its indices are within the new sizes and decode, it is counted, built from its spec and reloaded."""
    before = [book.codes.detach().clone() for book in codeword.models.find_codebooks(quantizer).values()]
    for _ in range(3):
        out = quantizer.train()(rows())
    books = codeword.models.find_codebooks(quantizer).values()
    assert all(int(book.usage_count.sum()) >= 600 for book in books)
    if not any(book.update.by_gradient for book in books):
        assert not any(torch.equal(book.codes, old) for book, old in zip(books, before, strict=True))
    assert torch.equal(quantizer.decode(out.indices), out.quantized)
    sizes = torch.tensor(quantizer.codebook_sizes)
    assert bool((out.indices.reshape(-1, len(sizes)) < sizes).all())
    quantizer.usage()
    again = codeword.from_spec(quantizer.spec, features=4)
    again.load_state_dict(quantizer.state_dict())
    x = rows()
    assert torch.equal(again.eval().encode(x), quantizer.eval().encode(x))


@pytest.mark.parametrize("options", [{}, LEARNED, {"code_features": 3}], ids=["ema", "gradient", "projected"])
@pytest.mark.parametrize("size", [3, 8, 13, 30])
def test_resize(options, size):
    torch.manual_seed(0)
    vq = VectorQuantizer(4, 8, dim=1, **options)
    rows = torch.randn(6, 4, 31)
    for _ in range(3):
        vq(rows)
    new = copy.deepcopy(vq)
    assert resize(new, size) is new
    assert new.spec == vq.spec.replace("vq8", f"vq{size}")
    assert new.dim == 1
    old_codes, codes = vq.codebook.codes.detach(), new.codebook.codes.detach()
    if size >= 8:
        assert torch.equal(codes[:8], old_codes)
        error = [float((q.eval()(rows).quantized - rows).square().mean().detach()) for q in (vq, new)]
        assert error[1] <= error[0] * 1.001
    else:
        best = vq.codebook.usage_count.argsort(descending=True, stable=True)[:size].sort().values
        assert torch.equal(codes, old_codes[best])
    for _ in range(3):
        new.train()(rows)
    assert int(new.usage().used) >= min(size, 6)


@pytest.mark.parametrize(
    "spec",
    [
        "vq8",
        "vq8,code_features=2",
        "vq8,update=gradient,penalties=(codebook)",
        "vq8,update=in_place_adam(0.1)",
        "rvq3x8",
        "rvq3x8,dropout=0.5",
        "rvq3x8,stagewise=true",
        "rvq3x8,shared=true",
        "rvq(vq8|vq5|vq3)",
        "gvq2x8",
        "gvq2x8,shared=true",
        "gvq2x(rvq2x8)",
        "rvq2x(gvq2x8)",
        "memory8",
        "ovq2x(memory8)",
    ],
)
@pytest.mark.parametrize("size", [3, 20])
def test_all_codebooks_of_a_quantizer(spec: str, size: int) -> None:
    quantizer = trained(spec)
    count = len(quantizer.codebook_sizes)
    shapes = [tuple(book.codes.shape) for book in codeword.models.find_codebooks(quantizer).values()]
    assert resize(quantizer, size) is quantizer
    assert quantizer.codebook_sizes == (size,) * count
    books = codeword.models.find_codebooks(quantizer).values()
    assert [tuple(book.codes.shape) for book in books] == [(size, features) for _, features in shapes]
    assert all(int(book.usage_count.sum()) == 0 for book in books)
    goes_on(quantizer)


@pytest.mark.parametrize("size", [3, 20])
def test_one_stage_of_a_stack(size: int) -> None:
    rvq = trained("rvq3x8")
    kept = [rvq.quantizers[n].codebook.codes.clone() for n in (0, 2)]
    assert resize(rvq.quantizers[1], size) is rvq.quantizers[1]
    assert rvq.codebook_sizes == (8, size, 8)
    assert rvq.state_dict()["quantizers.1.codebook.codes"].shape == (size, 4)
    assert all(
        torch.equal(rvq.quantizers[n].codebook.codes, old) for n, old in zip((0, 2), kept, strict=True)
    )
    goes_on(rvq)


def test_a_shared_stage_is_resized_wherever_it_is_used() -> None:
    rvq = trained("rvq3x8,shared=true")
    resize(rvq.quantizers[0], 12)
    assert rvq.codebook_sizes == (12, 12, 12)
    goes_on(rvq)


def test_a_stack_within_a_stack() -> None:
    nested = trained("gvq2x(rvq2x8)")
    resize(nested.quantizers[1], 12)
    assert nested.codebook_sizes == (8, 8, 12, 12)
    goes_on(nested)


def test_the_quantizers_of_a_model_and_one_of_them() -> None:
    model = nn.Sequential(nn.Linear(4, 4), trained("vq8"), nn.ModuleDict({"stack": trained("rvq2x8")}))
    resize(model, 12)
    assert model[1].codebook_sizes + model[2]["stack"].codebook_sizes == (12, 12, 12)
    resize(model[2], 5)
    assert model[1].codebook_sizes + model[2]["stack"].codebook_sizes == (12, 5, 5)


def test_a_tokenizer(tmp_path) -> None:
    from codeword.tokenizers import VectorTokenizer

    torch.manual_seed(0)
    tokenizer = VectorTokenizer(codeword.from_spec("rvq2x8", features=4, dim=1), size=9, width=8)
    x = rows(features=9)
    tokenizer(x)
    resize(tokenizer, 12)
    assert tokenizer.codebook_sizes == (12, 12)
    out = tokenizer(x)
    codeword.save_pretrained(tokenizer, tmp_path)
    again = codeword.from_pretrained(tmp_path)
    assert torch.equal(again.decode(out.quantized.indices), tokenizer.eval().decode(out.quantized.indices))


def test_in_a_layout() -> None:
    torch.manual_seed(0)
    patches = codeword.from_spec("patches(vq8),size=(1,2)", features=2)
    maps = torch.randn(20, 2, 4, 4)
    patches(maps)
    resize(patches, 12)
    assert patches.codebook_sizes == (12,)
    out = patches(maps)
    assert torch.equal(patches.decode(out.indices), out.quantized)


def test_a_codebook_that_waits_for_its_first_batch_goes_on_waiting() -> None:
    vq = resize(VectorQuantizer(4, 8), 12)
    assert not vq.ready
    vq(rows())
    assert vq.ready
    goes_on(vq)


def test_modes_and_what_is_frozen_stay() -> None:
    model = nn.ModuleList([trained("vq8"), trained("vq8,update=gradient,penalties=(codebook)").eval()])
    freeze(model)
    resize(model, 12)
    assert all(vq.codebook.frozen for vq in model)
    assert [vq.training for vq in model] == [vq.codebook.training for vq in model] == [True, False]
    assert not model[1].codebook.codes.requires_grad
    before = model[0].codebook.codes.clone()
    model[0](rows())
    assert torch.equal(model[0].codebook.codes, before)
    wide = resize(trained("vq8").double(), 12)
    assert wide.codebook.codes.dtype == torch.float64


def test_a_transform_that_does_not_depend_on_the_size_goes_over() -> None:
    rule = Frozen(init=Normal(), transform=Linear())
    vq = VectorQuantizer(4, 8, update=rule, penalties=(CodebookLoss(),))
    vq(rows())
    with torch.no_grad():
        for parameter in vq.codebook.transform.parameters():
            parameter.add_(0.3)
    before = vq.codebook.searched().detach()
    after = resize(vq, 12).codebook.searched().detach()
    torch.testing.assert_close(after[:8], before)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: codeword.FSQ(4, (5, 5, 5, 5)),
            "codebooks that can have more codes or fewer.*fsq5-5-5-5; build",
        ),
        (lambda: codeword.LFQ(4, 4), "but got lfq4"),
        (lambda: codeword.quantizers.Bitcodes(4, 3), "but got bits3"),
        (lambda: codeword.RandomProjection(4, 8), "but got rpq8"),
        (lambda: codeword.ResidualFSQ(4, (5, 5, 5, 5), 2), "fsq5-5-5-5.* at quantizers.0"),
        (lambda: codeword.from_spec("rvq(vq8|fsq5-5-5-5)", features=4), "fsq5-5-5-5 at quantizers.1"),
        (lambda: nn.ModuleList([VectorQuantizer(4, 8), codeword.LFQ(4, 4)]), "lfq4 at 1"),
        (lambda: nn.Linear(4, 4), "a model with a quantizer in it, but got Linear"),
        (
            lambda: nn.ModuleList(
                [
                    VectorQuantizer(4, 8),
                    VectorQuantizer(4, 8, update=Frozen(transform=Gamma()), penalties=(CodebookLoss(),)),
                ]
            ),
            "does not depend on the number of codes",
        ),
    ],
)
def test_what_cannot_be_resized_is_named_and_nothing_changes(build, message: str) -> None:
    model = build()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(codeword.CodewordError, match=message):
        resize(model, 9)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("size", [0, -3, 2.5, None])
def test_sizes_that_cannot_be(size: object) -> None:
    with pytest.raises(codeword.CodewordError, match="codebook_size of at least 1"):
        resize(VectorQuantizer(4, 8), size)


def test_not_between_the_batches_of_a_step() -> None:
    rvq = trained("rvq2x8")
    with codeword.accumulate(rvq):
        rvq(rows())
    with pytest.raises(codeword.CodewordError, match="between two steps"):
        resize(rvq, 12)
    rvq(rows())
    goes_on(resize(rvq, 12))


@pytest.mark.parametrize("spec", ["gvq2x8", "rvq2x8"])
def test_one_resized_component_trains_beside_the_others(spec: str) -> None:
    quantizer = codeword.from_spec(spec, features=4)
    x = torch.randn(200, 4, dtype=torch.float32)
    quantizer(x)
    codeword.models.resize(quantizer.components[1], 12)
    for _ in range(2):
        out = quantizer(x)
    assert quantizer.codebook_sizes == (8, 12)
    assert [len(child.codebook.codes) for child in quantizer.components] == [8, 12]
    assert torch.equal(quantizer.decode(out.indices), out.quantized)
