"""Our own writer of safetensors files, against the library's."""

from __future__ import annotations

import torch
from safetensors.torch import load, save

from codeword.checkpoints.state import _KINDS, _in_safetensors


def test_the_bytes_are_those_of_the_library() -> None:
    tensors = {
        f"{number}.{dtype}".replace("torch.", ""): torch.arange(shape.numel()).reshape(shape).to(dtype)
        for number, shape in enumerate(
            [torch.Size([]), torch.Size([0, 3]), torch.Size([2, 3]), torch.Size([5])]
        )
        for dtype in _KINDS
    }
    tensors['name with "quotes", ü and \n'] = torch.randn(3)
    ours = _in_safetensors(tensors, {"codeword": '{"a":[1]}'})
    assert ours == save({name: value.clone() for name, value in tensors.items()}, {"codeword": '{"a":[1]}'})
    for name, value in load(ours).items():
        assert value.dtype == tensors[name].dtype
        assert torch.equal(value.double(), tensors[name].double())
