"""Checkpoint folders under the names that the Hugging Face Hub gives them: save, load, push."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from codeword.checkpoints.card import CARD, ModelCard
from codeword.checkpoints.checkpoint import WEIGHTS, load, save
from codeword.checkpoints.config import CONFIG, Model
from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.packages import load as load_package
from codeword.tokenizers.custom import Networks

__all__ = ["from_pretrained", "push_to_hub", "save_pretrained"]

_HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def save_pretrained(model: Model, folder: str | os.PathLike[str], *, card: ModelCard | None = None) -> None:
    """Write a quantizer or a tokenizer into a folder: `config.json`, `model.safetensors` and a card, `README.md`.

    Args:
        model: a quantizer that has a spec, or a tokenizer.
        folder: created if it does not exist. An earlier state of the same model in it is replaced, completely or not at
            all.
        card: your additions to the model card. Without it an existing `README.md` is kept.

    Raises:
        CodewordError: the folder holds another model, the class has no spec, the disk is full.

    Examples:
        >>> import codeword, tempfile
        >>> vq = codeword.VectorQuantizer(8, 16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(vq, folder)
        ...     from_pretrained(folder).spec
        'vq16'
    """
    save(model, folder)
    file = Path(folder) / CARD
    if card is not None or not file.exists():
        write_whole(file, (card or ModelCard()).text(model, file.absolute().parent.name).encode())


def from_pretrained(
    name: str | os.PathLike[str], *, revision: str | None = None, networks: Networks | None = None
) -> Any:
    """The quantizer or tokenizer of a folder, or of a repository of the Hugging Face Hub; in eval mode, on the CPU.

    Only safetensors, JSON and listed classes are read, so loading runs no downloaded code.

    Args:
        name: a folder that `save_pretrained` or a training run wrote; or, where there is no such folder, an
            `owner/name` of the Hub.
        revision: a branch, tag or commit of the Hub's repository.
        networks: the maker of the encoder and the decoder of a tokenizer that was trained with your own.

    Raises:
        CodewordError: there is no checkpoint, or one of another version or with files that do not belong together;
            the Hub cannot be reached; huggingface_hub is not installed (extra `hub`).
    """
    if Path(name).exists() or not _HUB_NAME.fullmatch(os.fspath(name)):
        if revision is not None:
            remedy = "leave out revision, or pass the owner/name of a repository"
            raise CodewordError.of("a revision of a repository of the Hub", f"the folder {name}", remedy)
        return load(name, networks)
    hub = load_package("huggingface_hub", "hub")
    try:
        folder = hub.snapshot_download(
            repo_id=os.fspath(name), revision=revision, allow_patterns=[CONFIG, WEIGHTS]
        )
    except Exception as error:  # its errors have no one class, and those of its transport are let out too
        remedy = "check the name, the connection and, for a private repository, `hf auth login`"
        raise CodewordError.of(
            f"a folder {name}, or a repository of the Hub", _reason(error), remedy
        ) from error
    return load(folder, networks)


def push_to_hub(
    model: Model,
    name: str,
    *,
    private: bool = False,
    message: str = "Upload with codeword",
    card: ModelCard | None = None,
) -> str:
    """Upload a quantizer or a tokenizer to a repository of the Hugging Face Hub; it is created if it does not exist.

    Args:
        model: as for `save_pretrained`.
        name: `owner/name`.
        private: of a repository that is made.
        message: of the commit.
        card: as for `save_pretrained`; a `README.md` of the repository is kept unless you pass one.

    Returns:
        The address of the commit.

    Raises:
        CodewordError: the Hub refuses or cannot be reached; huggingface_hub is not installed (extra `hub`).
    """
    if not _HUB_NAME.fullmatch(name):
        raise CodewordError.of("an owner/name of the Hub", repr(name), "write it like me/my-tokenizer")
    hub = load_package("huggingface_hub", "hub")
    with tempfile.TemporaryDirectory() as folder:
        save(model, folder)
        try:
            api = hub.HfApi()
            api.create_repo(repo_id=name, private=private, exist_ok=True)
            if card is not None or not api.file_exists(name, CARD):
                write_whole(Path(folder) / CARD, (card or ModelCard()).text(model, name).encode())
            commit = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        except Exception as error:  # as in `from_pretrained`
            remedy = "check the name, the connection and `hf auth login`"
            raise CodewordError.of(f"to write to {name} on the Hub", _reason(error), remedy) from error
    return str(commit.commit_url)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__
