"""The measures that a user asks for by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeword.errors import CodewordError
from codeword.workbench.measuring.base import Measure
from codeword.workbench.measuring.pictures import FID, LPIPS, SSIM, MultiscaleSSIM
from codeword.workbench.measuring.protocol import Fitted
from codeword.workbench.measuring.sounds import PESQ, STFT, STOI
from codeword.workbench.modalities import Modality

__all__ = ["MeasureOptions", "choose"]

OF_PICTURES = ("ssim", "ms_ssim", "lpips", "fid")
OF_SOUNDS: dict[str, Any] = {"pesq": PESQ, "stoi": STOI, "stft": STFT}


@dataclass(frozen=True)
class MeasureOptions:
    """The user's options for measuring.

    Args:
        metrics: names of measures beside those of the modality.
        fitted: preprocessing of pictures.
        lpips: the file of the network of LPIPS.
        fid: the file of the network of FID.
    """

    metrics: tuple[str, ...] = ()
    fitted: Fitted = Fitted()  # noqa: RUF009  frozen
    lpips: Path | None = None
    fid: Path | None = None


def choose(options: MeasureOptions, modality: Modality) -> list[Measure]:
    """The measures that were asked for.

    Raises:
        CodewordError: a measure does not exist for this kind of data; a file or a package (extra `metrics`) is missing.
    """
    known = {"image": OF_PICTURES, "audio": tuple(OF_SOUNDS)}.get(modality.kind, ())
    for name in options.metrics:
        if name not in known:
            remedy = f"pass some of {', '.join(known)}" if known else "leave out --metrics"
            raise CodewordError.of(f"metrics of {modality.items}", name, remedy)
    for name in ("lpips", "fid"):
        file = getattr(options, name)
        if (file is None) == (name in options.metrics):
            got = "no file" if file is None else f"--{name} {file} without --metrics {name}"
            raise CodewordError.of(
                f"--metrics {name} and --{name} FILE together", got, "see the guide on measuring"
            )
    if options.fitted != Fitted() and modality.kind != "image":
        got = f"--resize or --crop of {modality.items}"
        raise CodewordError.of("pictures to resize or crop", got, "leave them out")
    return [_measure(name, options, modality) for name in dict.fromkeys(options.metrics)]


def _measure(name: str, options: MeasureOptions, modality: Any) -> Measure:
    if name in OF_SOUNDS:
        measure: Measure = OF_SOUNDS[name](modality.sample_rate)
        return measure
    if name == "lpips":
        assert options.lpips is not None
        return LPIPS(options.lpips)
    if name == "fid":
        assert options.fid is not None
        return FID(options.fid)
    return {"ssim": SSIM, "ms_ssim": MultiscaleSSIM}[name]()
