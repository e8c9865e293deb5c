"""BEST-RQ: a speech encoder learns the labels that fixed random projections give masked frames."""

import torch
import torch.nn.functional as F
from torch import nn
from vector_quantize_pytorch.random_projection_quantizer import RandomProjectionQuantizer


class BestRQ(nn.Module):
    """Stacked frames, a share of them replaced by noise, and one head for each codebook."""

    def __init__(self, codebooks=3, codes=32):
        super().__init__()
        self.quantizer = RandomProjectionQuantizer(
            dim=40, num_codebooks=codebooks, codebook_dim=8, codebook_size=codes, norm=True
        )
        self.net = nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.Linear(64, codebooks * codes))
        self.shape = (codebooks, codes)

    def forward(self, frames):
        labels = self.quantizer(frames)
        mask = torch.rand(frames.shape[:2]) < 0.4
        logits = self.net(torch.where(mask[..., None], 0.1 * torch.randn_like(frames), frames))
        logits = logits.unflatten(-1, self.shape)
        return F.cross_entropy(logits[mask].flatten(0, 1), labels[mask].flatten()), labels


def main():
    model, frames = BestRQ(), torch.randn(4, 30, 40)
    before = {key: value.clone() for key, value in model.quantizer.state_dict().items()}
    optimizer = torch.optim.Adam(model.net.parameters(), lr=1e-3)
    for _ in range(3):
        loss, labels = model(frames)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    after = model.quantizer.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    ce_loss = model.quantizer(frames, indices=labels)
    print("best_rq", tuple(labels.shape), loss.ndim, ce_loss.ndim)
