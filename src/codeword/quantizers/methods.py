"""Methods of the literature by name: the parts of each, its source, and when to use it.

Every one takes `features`, `codebook_size` and `dim` as `VectorQuantizer` does and returns one. Reported results are
the papers' own, on their own models and data; `docs/methods/measured.md` compares all of them under equal conditions.
"""

from __future__ import annotations

from codeword.estimators import Directional, Gumbel, ReinMax, Rotation, Sampled, StraightThrough
from codeword.inits import Normal
from codeword.metrics import Cosine
from codeword.penalties import CodebookLoss, Commitment, UnitAlpha, Wasserstein
from codeword.quantizers.vector import VectorQuantizer
from codeword.revivals import Stale
from codeword.transforms import (
    Affine,
    Bridge,
    CodeGamma,
    Gamma,
    LearnedSpread,
    Linear,
    RunningAffine,
    SpaceFilling,
)
from codeword.updates import EMA, Frozen, Gradient, InPlaceAdam

__all__ = [
    "diveq",
    "fvq",
    "gumbel",
    "in_place",
    "large",
    "learnable_gamma",
    "learnable_std",
    "reinmax",
    "rotation_vq",
    "running_affine",
    "sf_diveq",
    "simvq",
    "stochastic_vq",
    "vq_ste_pp",
    "vq_vae",
    "vq_vae_ema",
    "vqgan_factorized",
    "wasserstein_vq",
]

_PENALTIES = (CodebookLoss(), Commitment(0.25))  # of codes that learn by gradient


def vq_vae(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Codes learned by gradient, from the codebook loss; commitment 0.25.

    Source: van den Oord et al. 2017 (arXiv:1711.00937). Reported for CIFAR-10 at K = 8,192 without data
    initialisation or revival, both of which are here: 2.7 % of codes used, 27.15 dB (arXiv:2506.15078).
    When: codes must be ordinary parameters. Give them ten times the learning rate (`codeword.parameter_groups`).
    """
    return VectorQuantizer(features, codebook_size, dim=dim, update=Gradient(), penalties=_PENALTIES)


def vq_vae_ema(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Codes as exponential moving averages with decay 0.99; commitment 0.25.

    Source: van den Oord et al. 2017, appendix A.1; Razavi et al. 2019 (arXiv:1906.00446). Reported for CIFAR-10 at
    K = 8,192: 99.7 % of codes used, 29.43 dB (arXiv:2506.15078).
    When: a batch has hundreds of rows a code. For fewer the default `VectorQuantizer` sets the decay from the load.
    """
    return VectorQuantizer(features, codebook_size, dim=dim, update=EMA(decay=0.99))


def vq_ste_pp(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """VQ-STE++: affine codes, synchronised updates, replacement of stale codes, codebook loss 9.5, commitment 0.5.

    Source: Huh et al. 2023 (arXiv:2305.08842), with the settings of its code, whose examples multiply its loss by 10.
    Reported there: better than a plain VQ-VAE by each of its parts; collapsed in the comparison of arXiv:2609.26774.
    When: you come from vqtorch and want its training. The layer it describes as in place is `in_place`.
    """
    update = Gradient(transform=Affine(rate=2.0), revival=Stale(20))
    estimator = StraightThrough(sync=0.2)
    penalties = (CodebookLoss(9.5), Commitment(0.5))
    return VectorQuantizer(
        features, codebook_size, dim=dim, update=update, estimator=estimator, penalties=penalties
    )


def in_place(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Codes take a step of Adam of their own in each training forward, before the output is taken; commitment 0.25.

    Source: the alternated optimisation of Huh et al. 2023 (arXiv:2305.08842), without a backward pass inside forward.
    When: codes need an optimiser that is separate from yours.
    """
    return VectorQuantizer(features, codebook_size, dim=dim, update=InPlaceAdam(0.01))


def running_affine(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Codes learned by gradient, moved to the moving mean and spread of the rows.

    Source: Huh et al. 2023 (arXiv:2305.08842), section 3.1.
    When: the encoder drifts or changes its scale faster than codes can follow by gradient.
    """
    update = Gradient(transform=RunningAffine())
    return VectorQuantizer(features, codebook_size, dim=dim, update=update, penalties=_PENALTIES)


def vqgan_factorized(
    features: int, codebook_size: int, *, dim: int = -1, code_features: int = 8
) -> VectorQuantizer:
    """Codes of 8 features on the unit sphere, found by cosine, between learned projections.

    Source: Yu et al. 2021 (arXiv:2110.04627); LlamaGen, Sun et al. 2024 (arXiv:2406.06525), which reports 97 % of
    16,384 codes used and rFID 2.19 with 8 features, against 0.29 % and 9.21 with 256.
    When: large codebooks (16,384 codes and more). For about a thousand codes it costs error: the norm is lost.
    """
    return VectorQuantizer(
        features, codebook_size, dim=dim, code_features=code_features, metric=Cosine(unit=True)
    )


def large(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Moving averages with decay 0.9 whose codes all follow the drift of the chosen ones.

    Source: our own, after NSVQ (arXiv:2606.11363), which moves unchosen codes by a kernel of the chosen ones' change.
    When: a batch has fewer rows than there are codes, as with 16,384 codes and more.
    """
    return VectorQuantizer(features, codebook_size, dim=dim, update=EMA(decay=0.9, drift=True))


def simvq(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Frozen normal codes under one learned linear map, that starts at the moments of the first batch.

    Source: Zhu et al. 2024 (arXiv:2411.02038), which reports rFID 1.99 and 24.7 dB with 262,144 codes, all used, on
    ImageNet at 128 x 128. The matched start is our own.
    When: very large codebooks on smooth latents. One linear map cannot follow clusters.
    """
    update = Frozen(init=Normal(), transform=Linear())
    return VectorQuantizer(features, codebook_size, dim=dim, update=update, penalties=_PENALTIES)


def fvq(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Codes learned by gradient through a small transformer over all of them.

    Source: Chang et al. 2025 (arXiv:2509.10140), which reports 100 % of 262,144 codes used on ImageNet, with a
    learning rate that falls to zero. The start at the first codes is our own.
    When: large codebooks by gradient, where revival does not suit; a step costs a pass through the transformer. Use a
    learning rate of at most 1e-3: with Adam at 2e-3 a toy autoencoder collapses to three codes.
    """
    update = Gradient(revival=None, transform=Bridge())
    return VectorQuantizer(features, codebook_size, dim=dim, update=update, penalties=_PENALTIES)


def rotation_vq(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Exponential moving averages with decay 0.8 under the rotation trick.

    Source: Fifty et al. 2024 (arXiv:2410.06424), which reports rFID 7.3 to 4.6 for VQGAN with 1,024 codes, and a
    worse loss for plain Euclidean codes (0.115 to 0.122).
    When: you follow that paper. Elsewhere (arXiv:2509.26469) it is behind straight-through.
    """
    return VectorQuantizer(features, codebook_size, dim=dim, update=EMA(decay=0.8), estimator=Rotation())


def diveq(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """The directional reparameterisation: the task alone trains codes and encoder, without another loss.

    Source: DiVeQ, 2025 (arXiv:2509.26469), which reports LPIPS 0.355 on CelebA-HQ at 11 bits, against 0.373 for
    straight-through and 0.362 for moving averages.
    When: you do not want to choose the weight of a codebook loss.
    """
    return VectorQuantizer(
        features, codebook_size, dim=dim, update=Gradient(), estimator=Directional(), penalties=()
    )


def sf_diveq(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """The space-filling form: codes are random points of a curve through all stored codes, so none is left behind.

    Source: DiVeQ, 2025 (arXiv:2509.26469), which reports LPIPS 0.349 on CelebA-HQ at 11 bits.
    When: every code must be used without revival, and neighbouring indices should be similar.
    """
    update = Gradient(revival=None, transform=SpaceFilling())
    estimator = Directional(noise=0.1)
    return VectorQuantizer(features, codebook_size, dim=dim, update=update, estimator=estimator, penalties=())


def stochastic_vq(
    features: int, codebook_size: int, *, dim: int = -1, temperature: float = 0.1
) -> VectorQuantizer:
    """Moving averages, with codes drawn in training: P(k | x) ~ exp(-|x - c_k|^2 / (temperature |x - c_near|^2)).

    Source: the stochastic codes of RQ-VAE, Lee et al. 2022 (arXiv:2203.01941), whose temperature is in the unit of
    the data; relative to the nearest code it is our own.
    When: a model that reads the codes should see varied ones. Lower the temperature with `codeword.models.anneal`.
    """
    return VectorQuantizer(features, codebook_size, dim=dim, estimator=Sampled(temperature, relative=True))


def gumbel(features: int, codebook_size: int, *, dim: int = -1, temperature: float = 1.0) -> VectorQuantizer:
    """Moving averages, with codes drawn by Gumbel noise, and gradients of the softmax with the same noise.

    Source: Jang et al. 2017 (arXiv:1611.01144); for codes Baevski et al. 2019 (arXiv:1910.05453), which learns
    logits. Logits of ten times the relative distance, and codes that follow their rows, are our own: with -|x - c|^2
    as logits and codes learned by gradient all codes but a few die in an autoencoder.
    When: you need a categorical latent. It computes all N x K pairs, so keep the codebook small.
    """
    estimator = Gumbel(temperature, scale=10.0, relative=True)
    return VectorQuantizer(features, codebook_size, dim=dim, estimator=estimator)


def reinmax(features: int, codebook_size: int, *, dim: int = -1, temperature: float = 1.0) -> VectorQuantizer:
    """As `gumbel`, with gradients that are second-order accurate and need no noise.

    Source: Liu et al. 2023 (arXiv:2304.08612).
    When: as for `gumbel`; it is the more accurate of the two for categorical latents.
    """
    estimator = ReinMax(temperature, scale=10.0, relative=True)
    return VectorQuantizer(features, codebook_size, dim=dim, estimator=estimator)


def wasserstein_vq(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """Codes learned by gradient, pulled to the mean and covariance of the rows.

    Source: "Distributional Matching for Vector Quantization", 2025 (arXiv:2506.15078), which reports 100 % of 8,192
    codes used and 29.88 dB on CIFAR-10.
    When: large codebooks over latents that form one cloud. It ignores separate clusters.
    """
    penalties = (CodebookLoss(), Commitment(0.1), Wasserstein(0.5))
    return VectorQuantizer(features, codebook_size, dim=dim, update=Gradient(), penalties=penalties)


def learnable_std(features: int, codebook_size: int, *, dim: int = -1) -> VectorQuantizer:
    """A network decides the standard deviation of the codes in each feature; codes learned by gradient.

    Source: "approach 1" of Soft-discretization (semivq), without a published table; its formula in a form of our own.
    When: you come from semivq.
    """
    update = Gradient(transform=LearnedSpread())
    penalties = (CodebookLoss(), Commitment(0.25), UnitAlpha())
    return VectorQuantizer(features, codebook_size, dim=dim, update=update, penalties=penalties)


def learnable_gamma(
    features: int, codebook_size: int, *, dim: int = -1, personalize: bool = False
) -> VectorQuantizer:
    """A learned shift is added after lookup: one for all codes, or, with `personalize`, one for each.

    Source: "approach 2" and "approach 3" of Soft-discretization (semivq), without a published table.
    When: you come from semivq.
    """
    shift = CodeGamma() if personalize else Gamma()
    update = Gradient(transform=shift)
    return VectorQuantizer(features, codebook_size, dim=dim, update=update, penalties=_PENALTIES)


METHODS = {name: method for name, method in globals().items() if name in __all__}
