"""`AffineTransform`: scale and shift of all codes of a group, learned or from running moments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.transforms.moments import first_moments, sums_about

__all__ = ["AffineTransform"]


class AffineTransform(nn.Module):
    """c' = scale c + bias, for each of `num_groups` blocks of neighbouring codes.

    Learned, the scale is 1 + lr_scale s and the bias lr_scale b, with s and b 0 at the start. With running statistics
    they give the codes the moments of recent inputs:

        scale = sqrt(var_z / (var_c + 1e-8))        bias = mean_z - scale mean_c

    where all four are moving averages that start at the first batch. Unlike
    `codeword.transforms.RunningAffine`, the moments of the codes are averages too, and the batch
    counts before it is searched.

    Args:
        feature_size: of a code.
        use_running_statistics: whether it follows the moments instead of learning.
        momentum: share of a new batch in the moving averages.
        lr_scale: how much faster s and b learn than a plain parameter.
        num_groups: how many blocks; it divides the number of codes.

    Source: Huh et al. 2023 (arXiv:2305.08842), section 3.1, as in vqtorch.

    Examples:
        >>> transform = AffineTransform(4, lr_scale=2.0)
        >>> bool((transform(torch.ones(8, 4)) == 1).all())
        True
    """

    def __init__(
        self,
        feature_size: int,
        use_running_statistics: bool = False,
        momentum: float = 0.1,
        lr_scale: float = 1,
        num_groups: int = 1,
    ) -> None:
        super().__init__()
        self.use_running_statistics = use_running_statistics
        self.num_groups = num_groups
        self.momentum = momentum
        self.lr_scale = lr_scale
        zeros = torch.zeros(num_groups, feature_size, dtype=torch.float32, device=torch.get_default_device())
        if not use_running_statistics:
            self.scale = nn.Parameter(zeros)
            self.bias = nn.Parameter(zeros.clone())
            return
        self.register_buffer("running_statistics_initialized", zeros.new_zeros(1))
        for name in ("ze", "c"):
            self.register_buffer(f"running_{name}_mean", zeros.clone())
            self.register_buffer(f"running_{name}_var", zeros + 1)

    running_statistics_initialized: Tensor
    running_ze_mean: Tensor
    running_ze_var: Tensor
    running_c_mean: Tensor
    running_c_var: Tensor

    def forward(self, codebook: Tensor) -> Tensor:
        """The codes (K, D) that are searched, of those that are kept."""
        scale, bias = self.of_each(codebook)
        return scale * codebook + bias

    def inverse(self, places: Tensor, codebook: Tensor) -> Tensor:
        """The kept codes that are mapped to places (K, D); `codebook` are those kept now."""
        scale, bias = self.of_each(codebook)
        return (places - bias) / torch.where(scale.abs() > 1e-6, scale, 1e-6)

    def get_affine_params(self) -> tuple[Tensor, Tensor]:
        """Scale and bias, (num_groups, 1, D) each."""
        if self.use_running_statistics:
            scale = (self.running_ze_var / (self.running_c_var + 1e-8)).sqrt()
            bias = self.running_ze_mean - scale * self.running_c_mean
        else:
            scale, bias = 1.0 + self.lr_scale * self.scale, self.lr_scale * self.bias
        return scale[:, None], bias[:, None]

    def params_for(self, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and bias as they are for a codebook (K, D)."""
        return self.get_affine_params()

    def of_each(self, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and bias (K, D) of each code."""
        if len(codebook) % self.num_groups:
            raise CodewordError.of(
                f"a number of codes that affine_groups={self.num_groups} divides",
                str(len(codebook)),
                "pass another affine_groups or num_codes",
            )
        each = len(codebook) // self.num_groups
        scale, bias = self.params_for(codebook)
        return scale[:, 0].repeat_interleave(each, 0), bias[:, 0].repeat_interleave(each, 0)

    @torch.no_grad()
    def update_running_statistics(self, z_e: Tensor, c: Tensor) -> None:
        """In training, take the moments of inputs (..., D), those of all ranks, and of codes (K, D) into account."""
        if not (self.training and self.use_running_statistics):
            return
        rows = z_e.detach().flatten(0, -2).to(self.running_ze_mean.dtype)
        finite = rows.isfinite().all(-1)
        valid = Valid.of(finite, sync=True)
        if not valid.total:
            return
        rows = torch.where(finite[:, None], rows, 0.0)
        mean = var = rows.new_zeros(rows.shape[1])
        for _ in range(2):  # the second time about the mean itself, so that nothing cancels
            sums = sums_about(rows, valid, mean)
            _, mean, var = first_moments(distributed.sum_(sums), mean)
        seen = {"ze_mean": mean, "ze_var": var, "c_mean": c.mean(0), "c_var": c.var(0, correction=0)}
        share = torch.where(self.running_statistics_initialized == 0, 1.0, self.momentum).to(mean.dtype)
        for name, value in seen.items():
            getattr(self, f"running_{name}").lerp_(value.expand(self.num_groups, -1), share)
        self.running_statistics_initialized.fill_(1)

    def begin(self, rows: Tensor, codebook: Tensor) -> None:
        """Called once at the start of a training forward, with its inputs (..., D) and the codes (K, D)."""
        self.update_running_statistics(rows, codebook)

    def extra_repr(self) -> str:
        kind = "running statistics" if self.use_running_statistics else f"lr_scale={self.lr_scale}"
        return f"{kind}, num_groups={self.num_groups}"
