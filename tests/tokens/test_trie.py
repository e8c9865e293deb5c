"""Valid IDs: the trie beside a set of tuples, words, and decoding with a small transformer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from codeword import CodewordError
from codeword.tokens import IdVocabulary, PrefixTrie, ValidIds

SIZES = (4, 3, 5)
IDS = st.lists(st.tuples(*(st.integers(0, size - 1) for size in SIZES)), min_size=1, max_size=30)


def brute_mask(ids: list[tuple[int, ...]], prefix: tuple[int, ...]) -> list[bool]:
    n = len(prefix)
    return [any(one[:n] == prefix and one[n] == token for one in ids) for token in range(SIZES[n])]


@settings(max_examples=60, deadline=None)
@given(IDS, st.lists(st.tuples(*(st.integers(-1, 5) for _ in SIZES)), min_size=1, max_size=8))
def test_the_mask_is_that_of_a_set(ids, rows):
    trie = PrefixTrie(np.array(ids), SIZES)
    assert len(trie) == len(set(ids))
    for n in range(len(SIZES)):
        prefixes = [row[:n] for row in rows] + [one[:n] for one in ids]
        expected = [brute_mask(ids, prefix) for prefix in prefixes]
        assert trie.mask(np.array(prefixes, int).reshape(len(prefixes), n)).tolist() == expected
        assert [trie.allowed(prefix).tolist() for prefix in prefixes] == [
            np.flatnonzero(row).tolist() for row in expected
        ]
    assert all(one in trie for one in ids)
    assert [row in trie for row in rows] == [row in set(ids) for row in rows]
    assert ids[0][:2] not in trie


def test_a_trie_in_a_file(tmp_path):
    ids = np.random.default_rng(0).integers(0, 200, (5000, 3))
    trie = PrefixTrie(ids, (200, 300, 256))
    trie.save(tmp_path / "t.safetensors")
    assert (tmp_path / "t.safetensors").stat().st_size < 2 * 5000 * 3
    again = PrefixTrie.load(tmp_path / "t.safetensors")
    assert again.sizes == trie.sizes
    assert len(again) == len(np.unique(ids, axis=0))
    for prefix in ([], [7], ids[9, :2]):
        assert np.array_equal(again.allowed(prefix), trie.allowed(prefix))


def test_files_that_are_no_tries(tmp_path):
    trie = PrefixTrie(np.array([[0, 1], [1, 0], [1, 1]]), (2, 2))
    path = tmp_path / "t.safetensors"
    for change in ("codes", "first", "cut", "text", "none"):
        made = PrefixTrie(np.array([[0, 1], [1, 0], [1, 1]]), (2, 2))
        if change == "codes":
            made.codes[1] = made.codes[1] + np.uint8(1)
        elif change == "first":
            made.first[0] = made.first[0][::-1].copy()
        made.save(path)
        if change == "cut":
            path.write_bytes(path.read_bytes()[:-2])
        elif change == "text":
            path.write_bytes(b"nothing of the kind")
        elif change == "none":
            path.unlink()
        with pytest.raises(CodewordError, match="a trie of IDs at"):
            PrefixTrie.load(path)
    for ids in ([[0, 2]], [[0]], np.empty((0, 2), int), [[0.0, 1.0]]):
        with pytest.raises(CodewordError):
            PrefixTrie(np.array(ids), (2, 2))
    with pytest.raises(CodewordError, match="beginnings"):
        trie.mask(np.array([[0, 1]]))


def test_words_are_told_apart_and_back(tmp_path):
    vocabulary = IdVocabulary((256, 300, 7), ("<pad>", "<eos>"), first=1000)
    ids = np.random.default_rng(0).integers(0, (256, 300, 7), (50, 3))
    words = vocabulary.words_of(ids)
    assert np.array_equal(vocabulary.tokens_of(words), ids)
    assert [min(words[:, n]) >= vocabulary.offsets[n] for n in range(3)] == [True] * 3
    assert vocabulary.number("<eos>") == 1001
    assert len(vocabulary.words) == len(set(vocabulary.words)) == len(vocabulary) == 2 + 256 + 300 + 7
    for row, numbers, text in zip(ids.tolist(), words.tolist(), vocabulary.strings(ids), strict=True):
        assert "".join(vocabulary.words[number - 1000] for number in numbers) == text
        assert vocabulary.parse(text) == tuple(row)
        assert text == "<a_{}><b_{}><c_{}>".format(*row)
    vocabulary.save(tmp_path / "v.json")
    assert IdVocabulary.load(tmp_path / "v.json") == vocabulary
    assert json.loads((tmp_path / "v.json").read_text())["offsets"] == [1002, 1258, 1558]
    assert IdVocabulary((1,) * 30).words[-1] == "<ad_0>"


def test_what_is_no_word_is_refused(tmp_path):
    vocabulary = IdVocabulary((4, 4))
    for text in ("", "<a_1>", "<a_1><b_4>", "<b_1><a_1>", "<a_1><b_2> ", "<a_01><b_2>"):
        with pytest.raises(CodewordError, match="an ID such as <a_0><b_0>"):
            vocabulary.parse(text)
    for make in (
        lambda: IdVocabulary(()),
        lambda: IdVocabulary((4,), ("<a_1>",)),
        lambda: IdVocabulary((4,), ("x", "x")),
        lambda: vocabulary.words_of([4, 0]),
        lambda: vocabulary.words_of([0]),
        lambda: vocabulary.tokens_of([0, 1]),
        lambda: vocabulary.number("<sep>"),
        lambda: IdVocabulary.load(tmp_path / "none.json"),
        lambda: ValidIds(PrefixTrie(np.array([[0]]), (2,)), vocabulary),
    ):
        with pytest.raises(CodewordError):
            make()


class Transformer(nn.Module):
    """Words (batch, time) to logits of the next one; it has learnt nothing."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, 16), nn.Embedding(32, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
        self.head = nn.Linear(16, words)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        time = words.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(time)
        rows = self.words(words) + self.places(torch.arange(time))
        return self.head(self.layer(rows, src_mask=mask, is_causal=True))[:, -1]


@torch.no_grad()
def write(model: Transformer, words: torch.Tensor, steps: int, valid: ValidIds | None) -> torch.Tensor:
    for _ in range(steps):
        logits = model(words) if valid is None else valid(words, model(words))
        words = torch.cat([words, logits.softmax(-1).multinomial(1)], 1)
    return words


def test_a_transformer_writes_ids_that_there_are_and_no_others():
    torch.manual_seed(0)
    ids = np.random.default_rng(0).integers(0, 8, (40, 3))
    vocabulary = IdVocabulary((8, 8, 8))
    valid = ValidIds(PrefixTrie(ids, (8, 8, 8)), vocabulary, between=())
    model = Transformer(len(vocabulary)).eval()
    begin = torch.full((64, 1), vocabulary.number("<bos>"))
    known = {tuple(row) for row in ids.tolist()}
    words = write(model, begin, 6, valid)[:, 1:].reshape(-1, 3).numpy()  # two items after each other
    assert {tuple(row) for row in vocabulary.tokens_of(words).tolist()} <= known
    free = write(model, begin, 3, None)[:, 1:].numpy()
    rows = free - np.array(vocabulary.offsets)
    assert sum(tuple(row) in known for row in rows.tolist()) < 10


def test_beams_over_the_mask_find_the_best_valid_ids():
    """The sum of log-probabilities of all IDs, one by one, against a beam search as wide as there are IDs."""
    torch.manual_seed(0)
    ids = np.unique(np.random.default_rng(1).integers(0, 6, (20, 3)), axis=0)
    vocabulary = IdVocabulary((6, 6, 6), special=("<bos>", "<eos>"))
    valid, model = ValidIds(PrefixTrie(ids, (6, 6, 6)), vocabulary, between=()), Transformer(20).eval()
    beams, scores = torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1)
    expected = torch.zeros(len(ids))
    with torch.no_grad():
        for level in range(3):
            logs = valid(beams, model(beams)).log_softmax(-1) + scores[:, None]
            rows, words = torch.nonzero(logs.isfinite(), as_tuple=True)
            beams, scores = torch.cat([beams[rows], words[:, None]], 1), logs[rows, words]
            prefix = torch.from_numpy(vocabulary.words_of(ids)[:, :level])
            before = torch.cat([torch.zeros(len(ids), 1, dtype=torch.int64), prefix], 1)
            logits = model(before)
            for n, row in enumerate(ids.tolist()):
                begins = [
                    vocabulary.offsets[level] + one[level]
                    for one in ids.tolist()
                    if one[:level] == row[:level]
                ]
                others = logits[n, sorted(set(begins))].logsumexp(0)
                expected[n] += logits[n, vocabulary.offsets[level] + row[level]] - others
    assert np.array_equal(vocabulary.tokens_of(beams[:, 1:].numpy()), ids)
    torch.testing.assert_close(scores, expected)


def test_where_in_an_id_a_sequence_is():
    vocabulary = IdVocabulary((2, 2), special=("<pad>", "<eos>"))  # words 2, 3 and 4, 5
    valid = ValidIds(PrefixTrie(np.array([[0, 1], [1, 0]]), (2, 2)), vocabulary)
    begin, logits = [1, 2, 3], torch.zeros(1, 7)

    def allowed(*words: int) -> list[int]:
        row = torch.tensor([words], dtype=torch.int64).reshape(1, len(words))
        return torch.nonzero(valid(row, logits)[0].isfinite()).flatten().tolist()

    assert allowed() == allowed(0) == allowed(1) == allowed(6) == begin
    assert allowed(0, 2) == [5]
    assert allowed(2, 5, 3) == [4]
    assert allowed(0, 2, 5) == begin  # a whole ID
    assert allowed(4) == allowed(5) == begin  # an ID whose first word was cut off
    with pytest.raises(CodewordError, match="logits of at least 6 words"):
        valid(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 5))
