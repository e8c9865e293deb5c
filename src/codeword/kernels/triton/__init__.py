"""What the Triton kernels share: whether this Triton can be used, how a kernel is launched, and on which chip."""
