"""RQ-VAE for images and for items: depth tokens at each place, and a prior whose loss is over the codes."""

import torch
import torch.nn.functional as F
from torch import nn
from vector_quantize_pytorch import ResidualVQ, Sequential, VectorQuantize


class RQVAE(nn.Module):
    """A picture becomes a map of `depth` tokens a place."""

    def __init__(self, dim=32, depth=4):
        super().__init__()
        self.encoder = nn.Conv2d(3, dim, 4, stride=4)
        self.vq = ResidualVQ(
            dim=dim,
            codebook_dim=8,
            codebook_size=48,
            num_quantizers=depth,
            shared_codebook=True,
            use_cosine_sim=False,
            quantize_dropout=False,
            kmeans_init=True,
            kmeans_iters=3,
        )
        self.decoder = nn.ConvTranspose2d(dim, 3, 4, stride=4)

    def forward(self, image):
        x = self.encoder(image)
        height, width = x.shape[-2:]
        x, indices, loss, all_codes = self.vq(x.flatten(2).transpose(1, 2), return_all_codes=True)
        assert all_codes.shape[:3] == (self.vq.num_quantizers, *x.shape[:2])
        x = x.transpose(1, 2).unflatten(2, (height, width))
        return self.decoder(x), indices.unflatten(1, (height, width)), loss.sum()


def main():
    model, image = RQVAE(), torch.randn(2, 3, 16, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        out, codes, loss = model(image)
        (F.mse_loss(out, image) + loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    out, codes, _ = model(image)
    prior = nn.Embedding(48, 48)
    logits = prior(codes[..., :-1])  # each depth token from the one above it
    F.cross_entropy(logits.flatten(0, -2), codes[..., 1:].flatten()).backward()
    items = Sequential(nn.Linear(6, 8), VectorQuantize(dim=8, codebook_size=16), nn.Linear(8, 6))
    back, tokens, commit = items(torch.randn(5, 3, 6))
    (back.square().mean() + commit).backward()
    vq = VectorQuantize(dim=8, codebook_size=16)
    _, labels, _ = vq(torch.randn(2, 9, 8))
    predicted = nn.Parameter(torch.randn(2, 9, 8))
    _, ce_loss = vq(predicted, indices=labels, freeze_codebook=True)
    ce_loss.backward()
    assert bool(predicted.grad.any())
    print(
        "rq_vae", tuple(out.shape), tuple(codes.shape), tuple(back.shape), tuple(tokens.shape), ce_loss.ndim
    )
