"""Names of the Hub, with a Hub that is a folder: there is no network in tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

import codeword
from codeword import VectorQuantizer
from codeword.errors import CodewordError


class Hub:
    """What of huggingface_hub is called, with its signatures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[tuple[Any, ...]] = []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.calls.append(("create", repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> SimpleNamespace:
        self.calls.append(("upload", repo_id, commit_message))
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def file_exists(self, repo_id: str, filename: str) -> bool:
        return (self.folder / repo_id / filename).exists()

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.calls.append(("download", repo_id, revision, tuple(allow_patterns)))
        if not (self.folder / repo_id).exists():
            raise LocalEntryNotFoundError("no such repository\nand more lines")
        return str(self.folder / repo_id)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Nothing of it reaches the network."""
    fake = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    monkeypatch.chdir(tmp_path)
    return fake


def test_push_and_load(hub: Hub) -> None:
    quantizer = VectorQuantizer(8, 16)
    quantizer(torch.randn(64, 8))
    assert (
        codeword.checkpoints.push_to_hub(quantizer, "me/vq", private=True, message="first")
        == "https://hub/me/vq/commit/1"
    )
    assert sorted(file.name for file in (hub.folder / "me/vq").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = codeword.from_pretrained("me/vq", revision="main")
    assert torch.equal(loaded.codebook.codes, quantizer.codebook.codes)
    assert hub.calls == [
        ("create", "me/vq", True, True),
        ("upload", "me/vq", "first"),
        ("download", "me/vq", "main", ("config.json", "model.safetensors")),
    ]


def test_a_folder_goes_before_the_hub(hub: Hub) -> None:
    codeword.save_pretrained(VectorQuantizer(8, 16), "me/vq")
    assert codeword.from_pretrained("me/vq").codebook_size == 16
    assert hub.calls == []


def test_what_is_called_is_there() -> None:
    """The real functions take what the fake ones are given."""
    import inspect

    api = huggingface_hub.HfApi
    for function, names in (
        (huggingface_hub.snapshot_download, {"repo_id", "revision", "allow_patterns"}),
        (api.file_exists, {"repo_id", "filename"}),
        (api.create_repo, {"repo_id", "private", "exist_ok"}),
        (api.upload_folder, {"repo_id", "folder_path", "commit_message"}),
    ):
        assert names <= set(inspect.signature(function).parameters)
    assert "commit_url" in huggingface_hub.CommitInfo.__dataclass_fields__


def test_faults_are_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CodewordError, match=r"LocalEntryNotFoundError: no such repository; check the name"):
        codeword.from_pretrained("me/nothing")
    for name in ("nothing", "a/b/c", "../me/vq", "/me/vq", "-/x"):
        with pytest.raises(CodewordError, match="which is no folder"):
            codeword.from_pretrained(name)
        with pytest.raises(CodewordError, match="an owner/name of the Hub"):
            codeword.checkpoints.push_to_hub(VectorQuantizer(8, 16), name)
    codeword.save_pretrained(VectorQuantizer(8, 16), "here")
    with pytest.raises(CodewordError, match="leave out revision"):
        codeword.from_pretrained("here", revision="main")

    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(
        CodewordError, match="to write to me/vq on the Hub, but got ConnectionError: no route"
    ):
        codeword.checkpoints.push_to_hub(VectorQuantizer(8, 16), "me/vq")


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (
        lambda: codeword.from_pretrained("me/vq"),
        lambda: codeword.checkpoints.push_to_hub(VectorQuantizer(2, 2), "me/vq"),
    ):
        with pytest.raises(CodewordError, match=r'pip install "codeword\[hub\]"'):
            call()
