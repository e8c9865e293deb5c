"""An autoencoder of meshes: faces to several tokens of one shared codebook, with masks of faces that are not there."""

import torch
from torch import nn
from vector_quantize_pytorch import ResidualVQ


class MeshAutoencoder(nn.Module):
    """A face is nine numbers; it becomes `num_quantizers` tokens."""

    def __init__(self, dim=24, num_quantizers=2, codebook_size=64):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(9, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.quantizer = ResidualVQ(
            dim=dim,
            num_quantizers=num_quantizers,
            codebook_size=codebook_size,
            shared_codebook=True,
            commitment_weight=0.1,
            stochastic_sample_codes=True,
            sample_codebook_temp=0.1,
        )
        self.decoder = nn.Linear(dim, 9)
        self.codebook_size = self.quantizer.codebook_size
        self.num_quantizers = self.quantizer.num_quantizers

    def tokenize(self, faces, face_mask):
        _, codes, _ = self.quantizer(self.encoder(faces), mask=face_mask)
        return codes.masked_fill(~face_mask[..., None], -1)

    def decode_from_codes_to_faces(self, codes, face_mask):
        embed = self.quantizer.get_output_from_indices(codes.masked_fill(~face_mask[..., None], 0))
        return self.decoder(embed).masked_fill(~face_mask[..., None], 0.0)

    def forward(self, faces, face_mask):
        quantized, codes, commit_loss = self.quantizer(self.encoder(faces), mask=face_mask)
        error = (self.decoder(quantized) - faces)[face_mask].square().mean()
        return error + commit_loss.sum(), codes


def main():
    model, faces = MeshAutoencoder(), torch.randn(3, 20, 9)
    mask = torch.arange(20) < torch.tensor([[20], [7], [1]])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(4):
        loss, _ = model(faces, mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    codes = model.tokenize(faces, mask)
    out = model.decode_from_codes_to_faces(codes, mask)
    assert bool((codes[~mask] == -1).all())
    assert int(codes.max()) < model.codebook_size
    assert all(torch.equal(layer.codebook, model.quantizer.codebooks[0]) for layer in model.quantizer.layers)
    print("meshgpt", tuple(codes.shape), tuple(out.shape), model.codebook_size, model.num_quantizers)
