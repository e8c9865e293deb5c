"""Pictures as a language: a tokenizer, a tiny transformer over its tokens, and pictures that never were.

    pip install codeword scikit-learn
    python llm_tokens.py               # some minutes on a CPU

The same three steps as with any image generator over tokens: train a tokenizer, encode the data once, train a language
model on the tokens, sample, decode. Here a digit is 4 x 4 = 16 tokens of 64 codes, after a token that says which digit
is wanted.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import codeword

TOKENIZER_STEPS, STEPS = (int(word) for word in (*sys.argv[1:3], 600, 600)[:2])
CODES, KINDS, LENGTH = 64, 10, 16


class Tokenizer(nn.Module):
    def __init__(self, width: int = 64, features: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1), nn.SiLU(), nn.Conv2d(width, features, 1)
        )
        self.quantizer = codeword.VectorQuantizer(features, CODES, dim=1)
        self.decoder = nn.Sequential(
            nn.Conv2d(features, width, 3, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 1, 3, padding=1),
        )


class LanguageModel(nn.Module):
    """A transformer that reads a kind and the tokens so far, and gives the logits of the next token."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.words = nn.Embedding(CODES + KINDS, width)  # the tokens, and the ten kinds behind them
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.logits = nn.Linear(width, CODES)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        length = words.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.logits(self.layers(self.words(words) + self.places[:length], mask=mask, is_causal=True))


def train_tokenizer(digits: torch.Tensor) -> Tokenizer:
    model = Tokenizer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(TOKENIZER_STEPS):
        batch = digits[torch.randint(len(digits), (64,))]
        out = model.quantizer(model.encoder(batch))
        error = F.mse_loss(model.decoder(out.quantized), batch)
        optimizer.zero_grad()
        (error + out.loss).backward()
        optimizer.step()
    print(f"tokenizer: PSNR {-10 * error.log10():.1f} dB")
    return model.eval()


def train_language_model(tokens: torch.Tensor, kinds: torch.Tensor) -> LanguageModel:
    model = LanguageModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    for step in range(STEPS):
        rows = torch.randint(len(tokens), (64,))
        words = torch.cat([CODES + kinds[rows, None], tokens[rows, :-1]], 1)
        loss = F.cross_entropy(model(words).flatten(0, 1), tokens[rows].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 150 == 0 or step == STEPS - 1:
            print(f"language model: step {step:4d}  {loss / torch.tensor(2.0).log():.2f} bits a token")
    return model.eval()


@torch.no_grad()
def sample(model: LanguageModel, kinds: torch.Tensor) -> torch.Tensor:
    words = CODES + kinds[:, None]
    for _ in range(LENGTH):
        shares = model(words)[:, -1].softmax(-1)
        words = torch.cat([words, shares.multinomial(1)], 1)
    return words[:, 1:]


def draw(digits: torch.Tensor) -> str:
    shades = " .:-=+*#%@"
    rows = (digits[:, 0].clamp(0, 1) * (len(shades) - 1)).round().long()
    return "\n".join("  ".join("".join(shades[v] * 2 for v in digit[y]) for digit in rows) for y in range(8))


torch.manual_seed(0)
data = load_digits()
digits = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
kinds = torch.tensor(data.target)

tokenizer = train_tokenizer(digits)
with torch.no_grad():
    tokens = tokenizer.quantizer.encode(tokenizer.encoder(digits)).flatten(1)  # (1797, 16)
language_model = train_language_model(tokens, kinds)
with torch.no_grad():
    invented = sample(language_model, torch.arange(6))
    pictures = tokenizer.decoder(tokenizer.quantizer.decode(invented.view(-1, 4, 4)))
known = {tuple(row) for row in tokens.tolist()}
print("new pictures:", sum(tuple(row) not in known for row in invented.tolist()), "of", len(invented))
print(draw(pictures))
