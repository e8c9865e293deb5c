"""The same model as in accelerate_loop.py, as a LightningModule: the quantizer needs nothing of its own.

pip install codeword lightning scikit-learn
python lightning_module.py
"""

import sys
import warnings

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import codeword

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 30


class Model(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 16))
        self.quantizer = codeword.from_spec("rvq4x64", features=16)
        self.decoder = nn.Sequential(nn.Linear(16, 128), nn.SiLU(), nn.Linear(128, 64))

    def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
        (x,) = batch
        out = self.quantizer(self.encoder(x))
        error = F.mse_loss(self.decoder(out.quantized), x)
        self.log("error", error, prog_bar=True)
        self.log_dict({f"quantizer/{name}": value for name, value in out.losses.items()})
        return error + out.loss

    def on_train_epoch_end(self) -> None:
        usage = self.quantizer.usage()  # over the epoch, the same on every process
        self.log("codes used", usage.used.float().mean())
        self.quantizer.reset_usage()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


lightning.seed_everything(0, verbose=False)
warnings.filterwarnings("ignore", message=".*does not have many workers.*")
digits = torch.tensor(load_digits().data, dtype=torch.float32) / 16
loader = DataLoader(TensorDataset(digits), batch_size=128, shuffle=True, drop_last=True)
trainer = lightning.Trainer(
    max_epochs=EPOCHS,
    accelerator="auto",
    devices=1,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
model = Model()
trainer.fit(model, loader)
figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
print(
    f"after {EPOCHS} epochs: error {figures['error']:.4f}, codes used per stage {figures['codes used']:.0f} of 64"
)
