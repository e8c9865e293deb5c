"""A video tokenizer: LFQ over channels, its loss in parts, tokens numbered over the whole clip."""

import torch
from torch import nn
from vector_quantize_pytorch import FSQ, LFQ


class VideoTokenizer(nn.Module):
    """Convolutions in and out; the codebook is LFQ or FSQ."""

    def __init__(self, use_fsq=False):
        super().__init__()
        self.conv_in, self.conv_out = nn.Conv3d(3, 16, 3, padding=1), nn.Conv3d(16, 3, 3, padding=1)
        self.use_fsq = use_fsq
        if use_fsq:
            self.quantizers = FSQ([8, 5, 5], dim=16, num_codebooks=2)
        else:
            self.quantizers = LFQ(
                dim=16,
                codebook_size=2**8,
                num_codebooks=2,
                entropy_loss_weight=0.1,
                diversity_gamma=2.5,
                commitment_loss_weight=1.0,
                soft_clamp_input_value=10.0,
                frac_per_sample_entropy=0.5,
                experimental_softplus_entropy_loss=True,
            )

    def tokenize(self, video):
        self.eval()
        return self.quantizers(self.conv_in(video))[1]

    def decode_from_code_indices(self, codes):
        return self.conv_out(self.quantizers.indices_to_codes(codes))

    def forward(self, video):
        x = self.conv_in(video)
        if self.use_fsq:
            quantized, _ = self.quantizers(x)
            return self.conv_out(quantized), x.new_zeros(())
        (quantized, _, aux_losses), breakdown = self.quantizers(x, return_loss_breakdown=True)
        assert breakdown.batch_entropy.ndim == breakdown.per_sample_entropy.ndim == 0
        return self.conv_out(quantized), aux_losses


def main():
    for use_fsq in (False, True):
        model, video = VideoTokenizer(use_fsq), torch.randn(2, 3, 4, 8, 8)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(3):
            out, loss = model(video)
            ((out - video).square().mean() + loss).backward()
            optimizer.step()
            optimizer.zero_grad()
        codes = model.tokenize(video)
        torch.testing.assert_close(
            model.decode_from_code_indices(codes), model(video)[0], rtol=1e-4, atol=1e-4
        )
        print("magvit", tuple(codes.shape), model.quantizers.codebook_size, model.quantizers.num_codebooks)
