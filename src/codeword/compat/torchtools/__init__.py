"""torchtools (pytorch-tools) by codeword: what it has for quantization, `vq` and the later `nn`; see docs/moving."""
