"""An audio codec as published ones are built on vector-quantize-pytorch: grouped stages, dropout by fours."""

import torch
from torch import nn
from vector_quantize_pytorch import GroupedResidualVQ


class SoundStream(nn.Module):
    """Strided convolutions down and up, stages in groups between them."""

    def __init__(self, dim=32, stages=8):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, dim, 7, padding=3), nn.ELU(), nn.Conv1d(dim, dim, 8, stride=4, padding=2)
        )
        self.rq = GroupedResidualVQ(
            dim=dim,
            num_quantizers=stages,
            groups=2,
            codebook_size=32,
            decay=0.95,
            commitment_weight=1.0,
            quantize_dropout=True,
            quantize_dropout_cutoff_index=1,
            quantize_dropout_multiple_of=4,
            kmeans_init=True,
            threshold_ema_dead_code=2,
            stochastic_sample_codes=False,
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose1d(dim, dim, 8, stride=4, padding=2), nn.ELU(), nn.Conv1d(dim, 1, 7, padding=3)
        )

    def forward(self, wave, return_codes_only=False):
        x = self.encoder(wave).transpose(1, 2)
        x, indices, commit_loss = self.rq(x)
        if return_codes_only:
            return indices
        return self.decoder(x.transpose(1, 2)), commit_loss.sum()

    def decode(self, indices):
        return self.decoder(self.rq.get_output_from_indices(indices).transpose(1, 2))


def main():
    model, wave = SoundStream(), torch.randn(4, 1, 256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(4):
        out, loss = model(wave)
        ((out - wave).square().mean() + loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    codes = model(wave, return_codes_only=True)
    out = model(wave)[0]
    torch.testing.assert_close(model.decode(codes), out, rtol=1e-4, atol=1e-4)
    books = [tuple(layer.codebook.shape) for rvq in model.rq.rvqs for layer in rvq.layers]
    print("soundstream", tuple(out.shape), tuple(codes.shape), tuple(model.rq.codebooks.shape), books[0])
