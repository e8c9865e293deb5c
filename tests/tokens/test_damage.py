from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from codeword.errors import CodewordError, CodewordWarning
from codeword.tokens import Header, TokenFile, TokenWriter, read_tokens, write_tokens
from codeword.tokens import seal as seals
from codeword.tokens.seal import HASH, MARK, PLACE, seal
from codeword.tokens.table import schema

ROW = {"name": "a", "height": 1, "width": 2, "tokens": [1, 2]}


@pytest.fixture(params=["image", "image-stack", "audio", "vectors"])
def each(request, tmp_path):
    """A small token file of each layout, alone in its folder."""
    kind, _, stack = request.param.partition("-")
    grids = {"image": [(2, 3), (1, 2)], "audio": [(4,), (3,)], "vectors": [(), ()]}[kind]
    trailing = (2,) if stack or kind == "audio" else ()
    header = Header("c0de", (16, 300)[: 1 + len(trailing)], kind, trailing, {"stride": 4})
    path = tmp_path / "small.parquet"
    items = [(f"{number}", np.full((*grid, *trailing), 15)) for number, grid in enumerate(grids)]
    write_tokens(path, header, items)
    return path


def outcome(path, verify):
    """The items of a file, or the fault that was named on the way to them."""
    try:
        return [(name, tokens.tolist()) for name, tokens in read_tokens(path, verify=verify)]
    except CodewordError as error:
        return None if path.name in str(error) else error


def test_every_flipped_bit_is_found(each):
    """In place: a file that is emptied and written anew goes to the disk each time, which can take a minute."""
    whole = each.read_bytes()
    mark, right = whole.index(MARK), outcome(each, "seal")
    with open(each, "r+b", buffering=0) as stream:
        for place, value in enumerate(whole):
            for bit in (0, 3, 7):
                stream.seek(place)
                stream.write(bytes([value ^ 1 << bit]))
                if mark <= place < mark + len(MARK):  # it has no seal now, and no other fault
                    assert outcome(each, "full") == right
                    with pytest.warns(CodewordWarning, match="has no seal"):
                        assert outcome(each, "seal") == right
                else:
                    assert outcome(each, "seal") is None
                    assert place % 16 or outcome(each, "full") is None
            stream.seek(place)
            stream.write(bytes([value]))
    assert each.read_bytes() == whole
    assert len(right) == 2


def test_unverified_pages_give_no_wrong_tokens(each):
    """Each has a checksum; behind the pages a damaged byte could end the process."""
    whole = each.read_bytes()
    pages, right = whole.index(MARK) - PLACE - HASH, outcome(each, None)
    with open(each, "r+b", buffering=0) as stream:
        for place, value in enumerate(whole[:pages]):
            stream.seek(place)
            stream.write(bytes([value ^ 1 << place % 8]))
            assert outcome(each, None) in (None, right)
            stream.seek(place)
            stream.write(bytes([value]))


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file of several row groups and many checked chunks, far larger than what Arrow reads with the footer."""
    monkeypatch.setattr(seals, "CHUNK", 4096)
    monkeypatch.setattr("codeword.tokens.writer.ROW_GROUP", 20_000)
    path = tmp_path / "large.parquet"
    with TokenWriter(path, Header("c0de", (2**16,) * 8, "vectors", (8,))) as writer:
        noise = np.random.default_rng(0).integers(0, 2**16, (30_000, 8))
        writer.write_many([f"{number}" for number in range(len(noise))], noise)
    return path


def test_opening_reads_the_footer_alone(large, monkeypatch):
    read = 0

    class Counted(seals.SealedFile):
        def _check(self, number):
            nonlocal read
            read += seals.CHUNK
            super()._check(number)

    monkeypatch.setattr(seals, "SealedFile", Counted)
    tokens = read_tokens(large)
    assert len(tokens) == 30_000
    assert read <= 2**17  # Arrow reads the last 64 KiB
    next(iter(tokens))
    assert read <= 2**18
    read = 0
    assert len(list(tokens.names())) == 30_000
    assert read < large.stat().st_size / 2
    read = 0
    assert sum(len(names) for names, _ in tokens.batches()) == 30_000
    assert large.stat().st_size * 0.9 < read < large.stat().st_size * 1.3


def test_damage_is_found_before_its_rows_are_handed_out(large):
    with open(large, "r+b") as stream:
        stream.seek(200_000)
        byte = stream.read(1)
        stream.seek(200_000)
        stream.write(bytes([byte[0] ^ 4]))
    seen = []
    with pytest.raises(CodewordError, match=r"large\.parquet: .* agree with the seal .*, but got others"):
        seen.extend(len(names) for names, _ in read_tokens(large).batches())
    assert 0 < sum(seen) < 30_000
    with pytest.raises(CodewordError, match="agree with the seal"):
        read_tokens(large, verify="full")
    with pytest.raises(CodewordError, match="CRC"):
        list(read_tokens(large, verify=None))


def test_fewer_rows_than_the_footer_says_are_named(small, monkeypatch):
    tokens = read_tokens(small)
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", lambda *_, **__: iter(()))
    for reading in (tokens.names, tokens.batches):
        with pytest.raises(CodewordError, match=r"small\.parquet: expected 2 rows, .* but got 0"):
            list(reading())


def test_other_words_for_verify_are_refused(small):
    for wrong in (True, "none", "digest"):
        with pytest.raises(CodewordError, match='verify="full", "seal" or None'):
            TokenFile(small, verify=wrong)


def test_every_truncation_is_found(each):
    for length in reversed(range(each.stat().st_size)):
        os.truncate(each, length)
        with pytest.raises(CodewordError, match=r"small\.parquet"):
            read_tokens(each)


@pytest.mark.parametrize("added", [b"\0", b"PAR1"])
def test_bytes_at_the_end_are_found(small, added):
    small.write_bytes(small.read_bytes() + added)
    with pytest.raises(CodewordError, match="cut off"):
        read_tokens(small)


def test_page_checksums_are_written_and_verified(tmp_path):
    """Below the seal there is a second net: a file damaged before it was sealed."""
    path = tmp_path / "tokens.parquet"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64))
    write_tokens(path, Header("c0de", (256,)), [("noise", noise)])
    column = parquet.read_metadata(path).row_group(0).column(3)
    content = bytearray(path.read_bytes())
    begin = content.index(MARK)
    del content[begin - PLACE - HASH : begin + len(MARK) + HASH]
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with open(path, "r+b") as stream:
        seal(stream)
    with pytest.raises(CodewordError, match=r"tokens\.parquet.*CRC"):
        list(read_tokens(path))
    parquet.read_table(path, columns=["name"], page_checksum_verification=True)
    with pytest.raises(OSError, match="CRC"):
        parquet.read_table(path, columns=["tokens"], page_checksum_verification=True)


def test_a_right_seal_around_other_rows_is_found(forge):
    """The digest, below the page checksums: a file written anew with other contents under the old digest."""
    first = read_tokens(forge([ROW])).digest
    for change in ({"tokens": [1, 3]}, {"name": "b"}, {"height": 2, "width": 1}):
        with pytest.raises(CodewordError, match=rf"items with digest {first}, but got"):
            read_tokens(forge([{**ROW, **change}], digest=first), verify="full")
    for rows in ([], [ROW, {**ROW, "name": "b"}]):
        with pytest.raises(CodewordError, match="items with digest"):
            read_tokens(forge(rows, digest=first), verify="full")
    with pytest.raises(CodewordError, match="items with digest"):
        read_tokens(forge([ROW], raw=Header("bad0", (16,)).to_bytes(), digest=first), verify="full")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokens": [1, 16]}, "tokens below the codebook size 16, but got 16"),
        ({"tokens": [1]}, "1 tokens for 'a', but got 1 for 1 x 2"),
        ({"tokens": []}, "but got 0 for 1 x 2"),
        ({"height": 0, "tokens": []}, "but got 0 for 0 x 2"),
        ({"height": -1, "width": -2}, "but got 2 for -1 x -2"),
        ({"height": 2**31 - 1, "width": 2**31 - 1}, "but got 2 for 2147483647"),
    ],
)
def test_rows_that_do_not_hold_together_are_named(forge, change, words):
    with pytest.raises(CodewordError, match=rf"forged\.parquet: expected .*{words}"):
        list(read_tokens(forge([{**ROW, **change}], digest="0" * 64)))


def test_each_place_of_a_stack_has_its_own_codebook(tmp_path):
    header = Header("c0de", (16, 4), trailing_shape=(2,))
    with pytest.raises(CodewordError, match="codebook size 16, 4"):
        write_tokens(tmp_path / "tokens.parquet", header, [("a", [[[3, 15]]])])


def fields(**changes):
    return json.dumps({**json.loads(Header("c0de", (16,)).to_bytes()), **changes}).encode()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            fields(version=2),
            "a token file of format version 1, but got version 2; use the codeword that wrote it",
        ),
        (fields(version=2, new_field=[1]), "but got version 2"),
        (fields(version=0), "but got version 0"),
        (fields(facts=[1]), "at most 16 facts"),
        (fields(facts={"stride": 1.5}), "at most 16 facts"),
        (fields(facts={"Stride": 1}), "at most 16 facts"),
        (fields(version=True), "no version"),
        (fields(new_field=[1]), "the fields codebook_sizes, facts, kind, name, new_field"),
        (fields(codebook_sizes=16), "codebook_sizes as a tuple"),
        (fields(codebook_sizes=[16.0]), "codebook_sizes as a tuple"),
        (fields(kind=["image"]), "a kind among"),
        (fields(tokenizer=7), "a tokenizer digest"),
        (fields(tokenizer="a" * 70000), "at most 65536 bytes, but got 7"),
        (b"{", "not JSON"),
        (b"[" * 60000, "not JSON"),
        (b"[]", "no version"),
        (b'{"version":' + b"9" * 5000 + b"}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_headers_that_cannot_be_are_named(forge, raw, words):
    with pytest.raises(CodewordError, match=rf"forged\.parquet: expected .*{words}"):
        read_tokens(forge([ROW], raw=raw))


def test_an_oversized_string_in_the_footer_is_refused(forge):
    with pytest.raises(CodewordError, match=r"forged\.parquet"):
        read_tokens(forge([ROW], raw=b" " * 2**21))


def test_other_columns_are_refused(forge, header):
    expected = schema(header)
    text = expected.set(3, pyarrow.field("tokens", pyarrow.list_(pyarrow.string())))
    flat = expected.set(3, pyarrow.field("tokens", pyarrow.uint8()))
    deep = expected.set(3, pyarrow.field("tokens", pyarrow.list_(pyarrow.list_(pyarrow.uint8()))))
    real = expected.set(1, pyarrow.field("height", pyarrow.float64()))
    cells = {"tokens": (["1"], 1, [[1]])}
    for layout, tokens in zip((text, flat, deep), cells["tokens"], strict=True):
        with pytest.raises(
            CodewordError, match="the columns name: string, height: int32, width: int32, tokens"
        ):
            read_tokens(forge([{**ROW, "tokens": tokens}], digest="00", layout=layout))
    for layout in (real, expected.remove(1)):
        with pytest.raises(CodewordError, match="the columns name: string"):
            read_tokens(forge([ROW], layout=layout))


def test_huge_row_groups_are_refused(small, monkeypatch):
    monkeypatch.setattr("codeword.tokens.opening.LARGEST_GROUP", 13)
    with pytest.raises(CodewordError, match="at most 13 tokens in a row group, but got 14"):
        read_tokens(small)


def test_parquet_of_others_is_refused(tmp_path, forge):
    path = tmp_path / "stranger.parquet"
    parquet.write_table(pyarrow.table({"name": ["a"]}), path)
    with pytest.raises(
        CodewordError, match=r"stranger\.parquet: .* but got Parquet of another kind; pass a file that"
    ):
        read_tokens(path)
    with pytest.raises(CodewordError, match=r"codeword\.header in its metadata"):
        read_tokens(forge([ROW], metadata={"other": "words"}))


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1PAR1", b"PAR1\xff\xff\xff\xffPAR1", b"name,height\n" * 9]
)
def test_what_is_no_parquet_is_refused(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(CodewordError, match=r"notes\.txt: expected a (whole )?Parquet file"):
        read_tokens(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(CodewordError, match=r"a token file at .*none\.parquet, but got nothing there"):
        read_tokens(tmp_path / "none.parquet")
    with pytest.raises(CodewordError, match="a folder without any"):
        read_tokens(tmp_path)


def test_a_file_that_changes_after_it_was_opened_is_refused(small, header):
    tokens = read_tokens(small)
    assert len(list(tokens)) == 2
    write_tokens(small, header, [("other", [[1]])])
    with pytest.raises(CodewordError, match=r"small\.parquet: .* a changed one; open it again"):
        list(tokens)


def test_a_copy_reads_the_same(small, tmp_path, items):
    shutil.copy(small, tmp_path / "copy.parquet")
    os.remove(small)
    names = [name for name, _ in read_tokens(tmp_path / "copy.parquet")]
    assert names == [name for name, _ in items]
