"""P3, for indices as they are kept: of any integer dtype; what is no tensor is refused by name."""

from __future__ import annotations

import pytest
import torch

import codeword
from promises.cases import every_case

INTEGERS = (torch.uint8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64)


@every_case("P3")
def test_every_integer_dtype_decodes(case):
    quantizer = case.trained(0).eval()
    indices = quantizer.encode(case.x(9))
    expected = quantizer.decode(indices)
    for dtype in INTEGERS:
        if int(indices.max()) <= torch.iinfo(dtype).max:
            assert torch.equal(quantizer.decode(indices.to(dtype)), expected), dtype
    with pytest.raises(codeword.CodewordError, match=r"torch tensor.*ndarray.*torch\.(from_numpy|as_tensor)"):
        quantizer.decode(indices.numpy())
    with pytest.raises(codeword.CodewordError, match=r"torch tensor.*list.*torch\.as_tensor"):
        quantizer.decode(indices.tolist())


@every_case("P3")
def test_an_index_that_is_too_large_is_told_in_every_dtype(case):
    quantizer = case.trained(0).eval()
    indices = quantizer.encode(case.x(9))
    wrong = indices.clone()
    wrong.view(-1)[3] = 5 - 2**63
    with pytest.raises(codeword.CodewordError, match=f"but got {2**63 + 5}"):
        quantizer.decode(wrong.view(torch.uint64))
    if int(indices.max()) < 2**31:
        wrong.view(-1)[3] = 2**32 - 1
        with pytest.raises(codeword.CodewordError, match=f"but got {2**32 - 1}"):
            quantizer.decode(wrong.to(torch.uint32))
