"""A VQ-VAE in one file: handwritten digits become 4 x 4 = 16 tokens each, and digits again.

    pip install codeword scikit-learn
    python minimal_vqvae.py            # under a minute on a CPU; draws some digits beside their reconstructions

The data is scikit-learn's 1,797 digits of 8 x 8 pixels, so nothing is downloaded.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import codeword

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 1500


class VQVAE(nn.Module):
    def __init__(self, width: int = 64, features: int = 16, codes: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 4, stride=2, padding=1),  # 8 x 8 -> 4 x 4
            nn.SiLU(),
            nn.Conv2d(width, features, 1),
        )
        self.quantizer = codeword.VectorQuantizer(features, codes, dim=1)  # features lie on axis 1
        self.decoder = nn.Sequential(
            nn.Conv2d(features, width, 3, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, codeword.Quantized]:
        out = self.quantizer(self.encoder(x))
        return self.decoder(out.quantized), out


def draw(digits: torch.Tensor) -> str:
    """Digits (n, 1, 8, 8) of 0 to 1 as text, side by side."""
    shades = " .:-=+*#%@"
    rows = (digits[:, 0].clamp(0, 1) * (len(shades) - 1)).round().long()
    return "\n".join("   ".join("".join(shades[v] * 2 for v in digit[y]) for digit in rows) for y in range(8))


torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
training, held_out = digits[:1500], digits[1500:]

model = VQVAE()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
for step in range(STEPS):
    batch = training[torch.randint(len(training), (64,))]
    reconstruction, out = model(batch)
    loss = F.mse_loss(reconstruction, batch) + out.loss  # the one thing to add to your own loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 250 == 0 or step == STEPS - 1:
        usage = model.quantizer.usage()
        model.quantizer.reset_usage()
        print(f"step {step:5d}  loss {loss:.4f}  codes used {int(usage.used)} of 64")

model.eval()
with torch.no_grad():
    tokens = model.quantizer.encode(model.encoder(held_out))  # (297, 4, 4) int64
    decoded = model.decoder(model.quantizer.decode(tokens))
error = F.mse_loss(decoded, held_out)
print(f"held out: PSNR {-10 * error.log10():.2f} dB at {tokens[0].numel() * 6} bits a digit")
print("\nfirst row: digits it never saw; second row: what 16 tokens keep of them\n")
print(draw(held_out[:6]), draw(decoded[:6]), sep="\n\n")
