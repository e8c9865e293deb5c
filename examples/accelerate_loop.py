"""The same training loop on one process or many, in half precision or not, with accelerate.

    pip install codeword accelerate scikit-learn
    python accelerate_loop.py
    torchrun --nproc_per_node 2 accelerate_loop.py     # or: accelerate launch --multi_gpu accelerate_loop.py

Nothing has to be said about the quantizer: its codebook is the same on every process, because codes learn from counts
and sums that are added up over all of them.
"""

import sys

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import codeword

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 30


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 16))
        self.quantizer = codeword.from_spec("rvq4x64", features=16)
        self.decoder = nn.Sequential(nn.Linear(16, 128), nn.SiLU(), nn.Linear(128, 64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.quantizer(self.encoder(x))
        return self.decoder(out.quantized), out.loss


accelerator = Accelerator(cpu=not torch.cuda.is_available())
torch.manual_seed(0)
digits = torch.tensor(load_digits().data, dtype=torch.float32) / 16
loader = DataLoader(TensorDataset(digits), batch_size=128, shuffle=True, drop_last=True)
model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

for epoch in range(EPOCHS):
    for (x,) in loader:
        reconstruction, quantizer_loss = model(x)
        loss = F.mse_loss(reconstruction.float(), x) + quantizer_loss
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
    if epoch % 10 == 9:
        used = accelerator.unwrap_model(model).quantizer.usage().used
        accelerator.print(f"epoch {epoch + 1:3d}  loss {loss:.4f}  codes used per stage {used.tolist()}")

codes = [book.codes for book in codeword.models.find_codebooks(accelerator.unwrap_model(model)).values()]
everyone = accelerator.gather(torch.stack([book.sum() for book in codes])[None])
accelerator.print("the codebooks of all processes are the same:", bool((everyone == everyone[0]).all()))
accelerator.end_training()
