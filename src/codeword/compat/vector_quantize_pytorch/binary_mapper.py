"""`BinaryMapper`."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn import functional

from codeword.checkpoints.importers.table import KeyTable
from codeword.compat.state import Facade
from codeword.errors import CodewordError
from codeword.functional.binary_codes import bits_to_codes, code_chances, free_divergence

__all__ = ["BinaryMapper"]


class BinaryMapper(Facade):
    """Draws one of 2^bits codes bit by bit from logits; the gradient is that of the probabilities of all codes.

    Args:
        bits: how many, the first the least significant; 2^bits numbers are made of each vector.
        kl_loss_threshold: how many nats the entropy of the bits may be below the largest before there is a loss.
        deterministic_on_eval: whether eval takes the likelier value of each bit.

    Returns (forward):
        the code as a one-hot vector (..., 2^bits), the indices (...,) where `return_indices` asks for them, and the
        loss, the mean of relu(bits log 2 - H(bits) - threshold); 0 in eval.

    Source: the binary mapper of Fleuret 2025 (arXiv:2510.17558).

    Examples:
        >>> mapper = BinaryMapper(bits=8)
        >>> one_hot, indices, loss = mapper(torch.randn(3, 10, 8), return_indices=True)
        >>> one_hot.shape, bool((one_hot.argmax(-1) == indices).all())
        (torch.Size([3, 10, 256]), True)
    """

    codes: Tensor
    power_two: Tensor

    def __init__(
        self, bits: int = 1, kl_loss_threshold: float = log(2), deterministic_on_eval: bool = False
    ) -> None:
        super().__init__()
        if not 1 <= bits <= 24:
            raise CodewordError.of("1 to 24 bits", repr(bits), "all 2^bits codes are kept, and returned")
        self.bits = bits
        self.num_codes = 2**bits
        self.kl_loss_threshold = kl_loss_threshold
        self.deterministic_on_eval = deterministic_on_eval
        places = torch.arange(bits, dtype=torch.int64, device="cpu")
        codes = (torch.arange(2**bits, dtype=torch.int64, device="cpu")[:, None] >> places) & 1
        self.register_buffer("codes", codes.bool(), persistent=False)
        self.register_buffer("power_two", 2**places, persistent=False)

    def key_table(self) -> KeyTable:
        """There is no state."""
        return KeyTable()

    def binary_entropy(self, logits: Tensor) -> Tensor:
        """The entropy (...,) of the bits (..., bits) of each vector, in nats."""
        return self.bits * log(2) - free_divergence(logits, 0.0)

    def calc_aux_loss(self, logits: Tensor, reduce_aux_kl_loss: bool = True) -> Tensor:
        """How far the entropy of the bits is below the largest, beyond the threshold: (...,), or its mean."""
        loss = free_divergence(logits, self.kl_loss_threshold)
        return loss.mean() if reduce_aux_kl_loss else loss

    def log_prob(
        self,
        logits: Tensor,
        *,
        indices: Tensor | None = None,
        one_hot: Tensor | None = None,
        sum_bits: bool = True,
    ) -> Tensor:
        """The log probability of codes, given as indices or one-hot vectors; of each bit, without `sum_bits`."""
        if (indices is None) == (one_hot is None):
            raise CodewordError.of("indices or one_hot", "both or none", "pass one of them")
        index = one_hot.argmax(-1) if one_hot is not None else indices
        signs = 2 * self.codes[index].to(logits.dtype) - 1
        logs = functional.logsigmoid(signs * logits)
        return logs.sum(-1) if sum_bits else logs

    def forward(
        self,
        logits: Tensor,
        temperature: float = 1.0,
        straight_through: bool | None = None,
        calc_aux_loss: bool | None = None,
        deterministic: bool | None = None,
        return_indices: bool = False,
        reduce_aux_kl_loss: bool = True,
    ) -> tuple[Tensor, ...]:
        """See the class.

        Args:
            logits: (..., bits).
            temperature: that logits are divided by for the draw.
            straight_through: whether there is a gradient; None: in training.
            calc_aux_loss: whether there is a loss; None: in training.
            deterministic: whether to take the likelier value of each bit; None: as the layer was built.
            return_indices: see the class.
            reduce_aux_kl_loss: False: the loss of each vector.
        """
        if logits.shape[-1] != self.bits:
            raise CodewordError.of(
                f"logits (..., {self.bits})", f"{tuple(logits.shape)}", "pass one for each bit"
            )
        if deterministic is None:
            deterministic = self.deterministic_on_eval and not self.training
        shares = (logits.detach() / temperature).sigmoid()
        bits = shares > (0.5 if deterministic else torch.rand_like(shares))
        indices = bits_to_codes(bits)
        one_hot = functional.one_hot(indices, self.num_codes).to(logits.dtype)
        if self.training if straight_through is None else straight_through:
            soft = code_chances(logits)
            one_hot = one_hot + soft - soft.detach()
        zero = torch.zeros((), dtype=logits.dtype, device=logits.device)
        wanted = self.training if calc_aux_loss is None else calc_aux_loss
        loss = self.calc_aux_loss(logits, reduce_aux_kl_loss) if wanted else zero
        return (one_hot, indices, loss) if return_indices else (one_hot, loss)
