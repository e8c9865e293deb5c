"""Distances between a sound and its reconstruction, for measurements and for training."""

from codeword.workbench.audio.distortion import relative_error, si_sdr
from codeword.workbench.audio.mel import MelDistance, MelLoss, mel_bank

__all__ = ["MelDistance", "MelLoss", "mel_bank", "relative_error", "si_sdr"]
