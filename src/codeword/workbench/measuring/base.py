"""What a measure is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from codeword.workbench.modalities import Metric

__all__ = ["Measure", "SetMeasure"]


class Measure(ABC):
    """A measure of one item and its reconstruction. It does not depend on a batch or an order."""

    metric: ClassVar[Metric]

    @abstractmethod
    def of(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        """Its value; nan if it is undefined, such as PESQ of a sound without speech.

        Raises:
            CodewordError: the item cannot be measured, such as a picture that is too small.
        """

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """The settings that determine the value, as plain values."""


class SetMeasure(Measure):
    """A measure of a whole set, over features of each item."""

    def of(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        """An item alone has no value."""
        return float("nan")

    @abstractmethod
    def features(self, item: np.ndarray) -> Tensor:
        """(features,) float64, on the CPU."""

    @abstractmethod
    def of_set(self, items: Sequence[Tensor], reconstructions: Sequence[Tensor]) -> float:
        """Its value over the features of all items and of all reconstructions, in one order."""
