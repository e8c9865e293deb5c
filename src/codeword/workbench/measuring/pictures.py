"""Measures of pictures (height, width, 3) uint8."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.workbench.measuring.base import Measure, SetMeasure
from codeword.workbench.modalities import Metric

__all__ = ["FID", "LPIPS", "SSIM", "MultiscaleSSIM", "frechet_distance"]

EXTRA = "metrics"
LEAST, LEAST_MULTISCALE = 11, 161  # pixels of a side: the window of 11, and that at a sixteenth of the size


class SSIM(Measure):
    """Structural similarity of RGB: a Gaussian window of 11 pixels (sigma 1.5), K = 0.01 and 0.03, the mean over all
    pixels, with the picture mirrored at its edges.

    Source: Wang et al. 2004; computed by torchmetrics.
    """

    metric = Metric("ssim", "SSIM", 4)
    function, least = "structural_similarity_index_measure", LEAST

    def __init__(self) -> None:
        self.compute = getattr(load("torchmetrics.functional.image", EXTRA), self.function)
        self.version = load("torchmetrics", EXTRA).__version__

    def of(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        if min(item.shape[:2]) < self.least:
            expected, got = (
                f"sides of at least {self.least} pixels for {self.metric.key}",
                f"{item.shape[:2]}",
            )
            raise CodewordError.of(expected, got, f"leave out --metrics {self.metric.key}, or pass --resize")
        return float(self.compute(_unit(reconstruction), _unit(item), data_range=1.0))

    @property
    def facts(self) -> dict[str, Any]:
        return {"window": "gaussian, 11, sigma 1.5", "data_range": 1.0, "torchmetrics": self.version}


class MultiscaleSSIM(SSIM):
    """Structural similarity at five scales, with the weights of the paper.

    Source: Wang et al. 2003; computed by torchmetrics.
    """

    metric = Metric("ms_ssim", "MS-SSIM", 4)
    function, least = "multiscale_structural_similarity_index_measure", LEAST_MULTISCALE


class _OfFile:
    """A network in a TorchScript file that the user provides."""

    def __init__(self, file: Path, *, option: str, what: str) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # about TorchScript, the format in which these networks are published
                self.network = torch.jit.load(file, map_location="cpu").eval()
            self.digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except (OSError, RuntimeError, ValueError) as error:
            got = "a file of another kind" if file.is_file() else "nothing there"
            remedy = "weights alone are no network: the guide on measuring shows how to make one of them"
            raise CodewordError.of(f"{what} as TorchScript for --{option}, {file}", got, remedy) from error
        self.option = option
        self.known = {argument.name for argument in self.network.forward.schema.arguments}

    @torch.no_grad()
    def __call__(self, picture: np.ndarray, **options: Any) -> Tensor:
        """Features of a picture, in float64."""
        rows = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None]
        known = {name: value for name, value in options.items() if name in self.known}
        try:
            features: Tensor = self.network(rows, **known)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:200]
            expected = f"a network for --{self.option} that takes (1, 3, height, width) uint8"
            raise CodewordError.of(expected, reason, "see the guide") from error
        return features.double().flatten()


class LPIPS(Measure):
    """Learned perceptual distance: the squared distance of features that a network has weighted as in LPIPS.

    Args:
        file: TorchScript: (1, 3, height, width) uint8 to features whose squared distance is LPIPS, such as the vgg16.pt
            that is published with StyleGAN.

    Source: Zhang et al. 2018 (arXiv:1801.03924).
    """

    metric = Metric("lpips", "LPIPS", 4, higher_is_better=False)

    def __init__(self, file: Path) -> None:
        self.network = _OfFile(file, option="lpips", what="a network of LPIPS")

    def of(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        options = {"resize_images": False, "return_lpips": True}
        first, second = (self.network(picture, **options) for picture in (item, reconstruction))
        return float((first - second).square().sum())

    @property
    def facts(self) -> dict[str, Any]:
        return {"network": self.network.digest}


class FID(SetMeasure):
    """Frechet distance between the features of pictures and of their reconstructions (rFID).

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), with means m and covariances S over the pictures, in float64.

    Args:
        file: TorchScript: (1, 3, height, width) uint8 to (1, features), such as the inception-2015-12-05.pt that is
            published with StyleGAN, which resizes by itself.

    Source: Heusel et al. 2017 (arXiv:1706.08500).
    """

    metric = Metric("fid", "rFID", 3, higher_is_better=False)

    def __init__(self, file: Path) -> None:
        self.network = _OfFile(file, option="fid", what="a feature network")

    def features(self, item: np.ndarray) -> Tensor:
        return self.network(item, return_features=True)

    def of_set(self, items: Sequence[Tensor], reconstructions: Sequence[Tensor]) -> float:
        if len(items) < 2:
            raise CodewordError.of(
                "two pictures at least for fid", f"{len(items)}", "leave out --metrics fid"
            )
        return frechet_distance(torch.stack(list(items)), torch.stack(list(reconstructions)))

    @property
    def facts(self) -> dict[str, Any]:
        return {"network": self.network.digest}


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """The Frechet distance of two sets of features (rows, features), as if they were normal.

    Examples:
        >>> rows = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
        >>> round(frechet_distance(rows, rows + 3.0), 6)
        18.0
    """
    means, covariances = zip(
        *((rows.mean(0), rows.T.cov()) for rows in (first.double(), second.double())), strict=True
    )
    roots = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp_min(0).sqrt().sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * roots
    return max(0.0, float((means[0] - means[1]).square().sum() + spread))


def _unit(picture: np.ndarray) -> Tensor:
    """(1, 3, height, width) float32 within 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None].float() / 255
