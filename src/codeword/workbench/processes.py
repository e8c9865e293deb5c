"""The processes of a training run: one, or several that torchrun or `accelerate launch` started."""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.torch_versions import prepare_for_group

__all__ = ["PRECISIONS", "Accelerated", "Launched", "SingleProcess", "launched", "start"]

PRECISIONS = ("no", "bf16", "fp16")
SAID = (  # variables of torchrun, Open MPI, Intel MPI and MVAPICH, which accelerate reads
    ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"),
    ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"),
    ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK"),
)


@dataclass(frozen=True)
class Launched:
    """The rank of this process and the number of processes; alone: 0 of 1."""

    rank: int
    count: int
    local_rank: int  # among those of this machine


def launched() -> Launched:
    """Read the environment of the launcher: RANK, WORLD_SIZE and LOCAL_RANK of torchrun, or the variables of MPI.

    Examples:
        >>> launched()
        Launched(rank=0, count=1, local_rank=0)
    """
    rank, count, local = (
        next((int(os.environ[name]) for name in names if name in os.environ), 0) for names in SAID
    )
    return Launched(rank, max(1, count), local)


class SingleProcess:
    """One process in full precision. It needs no communication and no extra package.

    Args:
        device: the device, "cpu" or "cuda".
    """

    rank, count = 0, 1

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def prepare(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """The wrapped module and optimizer, to be used instead of the originals."""
        return module, optimizer

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, with loss scaling if half precision needs it."""
        loss.backward()

    def clip(self, module: nn.Module, norm: float) -> None:
        """Clip the total norm of the gradients of a module."""
        nn.utils.clip_grad_norm_(module.parameters(), norm)

    def mean(self, values: list[float]) -> list[float]:
        """The means over all processes."""
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""

    def state(self) -> dict[str, Any]:
        """The state for resuming, as plain values, beside weights and optimizer."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""

    def finish(self) -> None:
        """Part."""


class Accelerated(SingleProcess):
    """Several processes, or mixed precision: accelerate places, wraps (DistributedDataParallel) and scales.

    Args:
        device: "cpu" keeps to the CPU; with "cuda" each process gets the device of its number.
        precision: no, bf16 or fp16.

    Raises:
        CodewordError: accelerate is not installed (extra `train`); fp16 on the CPU.
    """

    def __init__(self, device: str, precision: str) -> None:
        accelerate = load("accelerate", "train")
        cpu = device == "cpu"
        if cpu and precision == "fp16":
            raise CodewordError.of("precision no or bf16 on the CPU", "fp16", "pass --precision bf16")
        if not cpu and launched().count == 1:
            torch.cuda.set_device(device)
        prepare_for_group()
        self.accelerator = accelerate.Accelerator(cpu=cpu, mixed_precision=precision)
        super().__init__(str(self.accelerator.device))
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes

    def prepare(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        # A warning about 1 x 1 convolutions in half precision, whose gradients have another memory layout.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        wrapped, stepper = self.accelerator.prepare(module, optimizer)
        return wrapped, stepper

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def clip(self, module: nn.Module, norm: float) -> None:
        self.accelerator.clip_grad_norm_(module.parameters(), norm)  # with fp16, the unscaled gradients

    def mean(self, values: list[float]) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        means: list[float] = self.accelerator.reduce(tensor, "mean").tolist()
        return means

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {} if scaler is None else scaler.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        if state and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state)

    def finish(self) -> None:
        # A thread of gloo gives back the tensors of the last exchange, for which it needs Python's lock; whoever frees
        # the group waits for the thread, with the lock. So it gets the lock once before.
        time.sleep(0.1)
        self.accelerator.end_training()
        # Otherwise the next run in this process would need the same precision.
        type(self.accelerator.state)._reset_state(reset_partial_state=True)


def start(device: str, precision: str) -> SingleProcess:
    """The object for this process.

    Raises:
        CodewordError: as `Accelerated`.
    """
    if launched().count == 1 and precision == "no":
        return SingleProcess(device)
    return Accelerated(device, precision)
