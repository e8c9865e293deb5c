"""Steps over several batches, and models whose weights are spread over processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from codeword import distributed
from codeword.models.find import codebook_parameters, quantizers_of
from codeword.models.temporary import temporarily

__all__ = ["accumulate", "finish_sharding"]


@contextmanager
def accumulate(model: nn.Module, enabled: bool = True) -> Iterator[None]:
    """The codebooks of a model learn once from several batches, like an optimiser with accumulated gradients.

    Training forwards in this context only collect statistics; the codes do not change. The next forward outside learns
    from all of them and from its own batch. So run all micro-batches of a step except the last in it, as with `no_sync`
    of DistributedDataParallel. For codes that learn from counts and sums the result equals that of one large batch.
    Dead codes are then revived with rows of all micro-batches.

    First codes from data come from the first micro-batch; `warm_up` takes them from several batches. The collected
    statistics are not saved with the weights: save after complete steps.

    Args:
        model: or a quantizer.
        enabled: False: do nothing, for the last micro-batch in a loop.

    Raises:
        CodewordError: a model without a quantizer.

    Examples:
        >>> import torch
        >>> from codeword import VectorQuantizer
        >>> vq = VectorQuantizer(8, 16)
        >>> for number in range(4):
        ...     with accumulate(vq, enabled=number < 3):
        ...         out = vq(torch.randn(20, 8))
        >>> int(vq.codebook.usage_count.sum())
        80
    """
    quantizers = quantizers_of(model).values()
    with temporarily(quantizers if enabled else (), "accumulates", True):
        yield


def finish_sharding(model: nn.Module) -> None:
    """Complete `torch.distributed.fsdp.fully_shard` for quantizers; call it once, after `fully_shard`.

    Codebooks must stay complete on every rank, because forward writes to them: pass
    `ignored_params=set(codeword.models.codebook_parameters(model))` to every `fully_shard`. FSDP does not average the
    gradients of ignored parameters, so this function does, in backward, for codes that learn by gradient. It also makes
    `encode` and `decode` of every sharded module gather its weights like forward. Without `fully_shard` it does
    nothing.

    To call a quantizer with projections outside of its model's forward, shard it before the model.

    Args:
        model: after `fully_shard`.

    Examples:
        >>> from codeword import VectorQuantizer
        >>> model = nn.Sequential(nn.Linear(4, 8), VectorQuantizer(8, 16))
        >>> finish_sharding(model)  # here there is nothing to do
    """
    from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        for method in ("encode", "decode"):
            if hasattr(module, method):
                register_fsdp_forward_method(module, method)
    for parameter in codebook_parameters(model) if sharded else []:
        parameter.register_post_accumulate_grad_hook(_average_gradient)


def _average_gradient(parameter: Tensor) -> None:
    if parameter.grad is not None:
        distributed.average_(parameter.grad)
