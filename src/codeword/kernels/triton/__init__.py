"""What the Triton kernels share: the check whether Triton can be used, launching a kernel, and the chip."""
