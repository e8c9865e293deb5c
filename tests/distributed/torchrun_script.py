"""What a user launches with torchrun: a model that is older than the process group, trained under DDP."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import codeword


def main() -> None:
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    torch.manual_seed(rank)  # every rank another seed: DDP and the first batch make them agree
    model = torch.nn.Sequential(torch.nn.Linear(6, 6), codeword.from_spec("rvq2x16", features=6))
    dist.init_process_group("gloo")
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(5):
        x = torch.randn(40, 6, generator=torch.Generator().manual_seed(10 * step + rank))
        out = wrapped(x)
        optimizer.zero_grad()
        ((out.quantized - x).square().mean() + out.loss).backward()
        optimizer.step()
    state = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    used = model[1].usage().used.tolist()
    said = f"of {dist.get_world_size()}: {hashlib.sha256(state).hexdigest()} {used}"
    Path(sys.argv[1], f"rank-{rank}").write_text(said)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
    os._exit(0)  # the interpreter's end may meet threads of gloo that still run
