"""A neural audio codec in one file: sounds to a few kilobits a second, and back.

    pip install "codeword[audio]"
    python audio_codec.py                  # on sounds that it makes itself: vowels of changing pitch
    python audio_codec.py 2500 FOLDER      # on your own WAV, FLAC or OGG files

It writes original.wav and decoded.wav to listen to. `codeword train FOLDER --out RUN` does the same with checkpoints,
held-out sounds and reports.
"""

import math
import sys

import torch

import codeword
from codeword.tokenizers import AudioTokenizer
from codeword.workbench.audio import MelLoss, relative_error, si_sdr
from codeword.workbench.data.audio import SoundFiles, save_wav

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
RATE, EXCERPT = 8000, 2000  # samples a second, samples of a training excerpt


def vowel(seconds: float = 1.0) -> torch.Tensor:
    """A sung vowel: harmonics of a gliding pitch, shaped by two formants."""
    time = torch.arange(int(seconds * RATE)) / RATE
    pitch = (100 + 120 * torch.rand(1)) * (1 + 0.3 * torch.rand(1) * torch.sin(4 * time))
    phase = 2 * math.pi * pitch.cumsum(0) / RATE
    formants = torch.tensor([300.0, 900.0]) + torch.rand(2) * torch.tensor([600.0, 1500.0])
    sound = torch.zeros_like(time)
    for harmonic in range(1, 20):
        strength = torch.exp(-(((harmonic * pitch.mean() - formants) / 250) ** 2)).sum()
        sound = sound + strength * torch.sin(harmonic * phase)
    return 0.5 * sound / sound.abs().max()


torch.manual_seed(0)
if len(sys.argv) > 2:
    sounds = [torch.from_numpy(sound) for _, sound in SoundFiles(sys.argv[2], RATE)]
else:
    sounds = [vowel() for _ in range(200)]
sounds = [sound for sound in sounds if len(sound) > EXCERPT]
training, held_out = sounds[:-5], sounds[-5:]

quantizer = codeword.from_spec("rvq2x128", features=32, dim=1)
codec = AudioTokenizer(quantizer, sample_rate=RATE, width=32, strides=(5, 8))
mel = MelLoss(RATE)
optimizer = torch.optim.AdamW(codec.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

for step in range(STEPS):
    batch = []
    for number in torch.randint(len(training), (16,)).tolist():
        start = int(torch.randint(len(training[number]) - EXCERPT, (1,)))
        batch.append(training[number][start : start + EXCERPT])
    x = torch.stack(batch)[:, None]  # (batch, 1, samples)
    out = codec(x)
    loss = relative_error(x, out.reconstruction).mean() / 10 + 0.03 * mel(x, out.reconstruction)
    optimizer.zero_grad()
    (loss + out.quantized.loss).backward()
    optimizer.step()
    schedule.step()
    if step % 100 == 99 or step == STEPS - 1:
        used = codec.quantizer.usage().used.tolist()
        codec.quantizer.reset_usage()
        print(f"step {step + 1:4d}  loss {loss:.3f}  codes used per stage {used}")

codec.eval()
rate = codec.bits_per_position * RATE / codec.stride
with torch.no_grad():
    tokens = [codec.encode(sound[None, None]) for sound in held_out]
    decoded = [codec.decode(one)[0, 0, : len(sound)] for one, sound in zip(tokens, held_out, strict=True)]
quality = [float(si_sdr(a, b)) for a, b in zip(held_out, decoded, strict=True)]
print(f"held out: SI-SDR {sum(quality) / len(quality):.1f} dB at {rate:.0f} bits a second")
save_wav("original.wav", held_out[0].numpy(), RATE)
save_wav("decoded.wav", decoded[0].numpy(), RATE)
