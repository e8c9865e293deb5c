"""Tokenizers in folders: whole at any moment, and only what is listed is loaded."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import codeword
from codeword import checkpoints
from codeword.checkpoints import TrainingState
from codeword.errors import CodewordError
from codeword.tokenizers import ImageTokenizer


def make(width: int = 8) -> ImageTokenizer:
    quantizer = codeword.from_spec("vq16,update=ema(decay=0.9)", features=4, dim=1)
    return ImageTokenizer(quantizer, width=width, stride=4, blocks=1)


@pytest.fixture
def trained() -> ImageTokenizer:
    model = make()
    model(torch.randn(2, 3, 16, 16).clamp(-1, 1))
    return model


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_what_is_loaded_is_what_was_saved(tmp_path: Path, trained: ImageTokenizer) -> None:
    name = checkpoints.save(trained, tmp_path)
    loaded = checkpoints.load(tmp_path)
    assert files(tmp_path) == ["config.json", "model.safetensors"]
    assert name == checkpoints.digest(trained) == checkpoints.digest(loaded)
    assert not loaded.training
    assert loaded.config() == trained.config()
    images = torch.randn(1, 3, 20, 24).clamp(-1, 1)
    assert torch.equal(loaded(images).reconstruction, trained.eval()(images).reconstruction)


def test_any_tool_reads_the_weights(tmp_path: Path, trained: ImageTokenizer) -> None:
    checkpoints.save(trained, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert tensors.keys() == trained.state_dict().keys()
    assert torch.equal(tensors["quantizer.codebook.codes"], trained.quantizer.codebook.codes)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["type"] == "ImageTokenizer"
    assert config["quantizer"].startswith("vq16,code_features=none,update=ema(decay=0.9,init=kmeans(")


def test_the_digest_sees_weights_and_config(trained: ImageTokenizer) -> None:
    before = checkpoints.digest(trained)
    with torch.no_grad():
        trained.encoder[0].bias[0] += 1e-6
    assert checkpoints.digest(trained) != before


def test_training_state_comes_back_and_only_the_latest_stays(tmp_path: Path, trained: ImageTokenizer) -> None:
    checkpoints.save(trained, tmp_path, TrainingState({"0.moment": torch.zeros(2)}, {"step": 1}))
    trained(torch.randn(2, 3, 16, 16).clamp(-1, 1))
    checkpoints.save(trained, tmp_path, TrainingState({"0.moment": torch.ones(2)}, {"step": 2, "rate": 0.1}))
    state = checkpoints.load_training(tmp_path)
    assert state.values == {"step": 2, "rate": 0.1}
    assert torch.equal(state.tensors["0.moment"], torch.ones(2))
    assert len(files(tmp_path)) == 3
    checkpoints.save(make(), tmp_path / "other")
    with pytest.raises(CodewordError, match="without the training state"):
        checkpoints.load_training(tmp_path / "other")


@pytest.mark.parametrize("crash_at", [0, 1])
def test_a_crash_while_saving_leaves_the_old_checkpoint(
    tmp_path: Path, trained: ImageTokenizer, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    """The first write is the training state, the second the weights."""
    name = checkpoints.save(trained, tmp_path, TrainingState({"m": torch.zeros(1)}, {"step": 1}))
    trained(torch.randn(2, 3, 16, 16).clamp(-1, 1))
    written = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > crash_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CodewordError, match=r"No space left on device\); free some space"):
        checkpoints.save(trained, tmp_path, TrainingState({"m": torch.ones(1)}, {"step": 2}))
    monkeypatch.undo()
    assert checkpoints.digest(checkpoints.load(tmp_path)) == name
    assert checkpoints.load_training(tmp_path).values == {"step": 1}
    assert not [file for file in files(tmp_path) if file.startswith(".")]
    checkpoints.save(trained, tmp_path, TrainingState({"m": torch.ones(1)}, {"step": 2}))
    assert checkpoints.load_training(tmp_path).values == {"step": 2}
    assert len(files(tmp_path)) == 3


def test_a_crash_before_the_first_weights_can_be_saved_over(tmp_path: Path, trained: ImageTokenizer) -> None:
    checkpoints.save(make(width=16), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CodewordError, match=r"no model\.safetensors"):
        checkpoints.load(tmp_path)
    checkpoints.save(trained, tmp_path)
    assert checkpoints.digest(checkpoints.load(tmp_path)) == checkpoints.digest(trained)


def test_another_config_is_not_saved_over(tmp_path: Path, trained: ImageTokenizer) -> None:
    name = checkpoints.save(trained, tmp_path)
    with pytest.raises(
        CodewordError, match=r"differs in width \(8 there, 16 here\); save into another folder"
    ):
        checkpoints.save(make(width=16), tmp_path)
    assert checkpoints.digest(checkpoints.load(tmp_path)) == name


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "format version 1, but got version 2; load it with the codeword"),
        ({"version": "1.0"}, "format version 1, but got version '1.0'"),
        ({"type": None}, "expected a run folder"),
        ({"stride": 8}, "changed or mixed"),
        ({"type": "os.system"}, "changed or mixed"),
    ],
)
def test_a_changed_config_is_refused(
    tmp_path: Path, trained: ImageTokenizer, changes: dict[str, object], message: str
) -> None:
    checkpoints.save(trained, tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises(CodewordError, match=message):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "os.system"}, "expected the name of a type of checkpoint, but got 'os.system'"),
        (
            {"width": 16},
            r"encoder.0.weight of shape \(8, 3, 4, 4\) instead of \(16, 3, 4, 4\), .* and \d+ more",
        ),
        ({"surprise": 1}, "surprise"),
        ({"blocks": None}, "but got no encoder.4.layers.1.weight, .* and 17 more"),
        ({"blocks": 0}, "but got no encoder.4.weight, .* more; put the config back"),
        ({"quantizer": "vq16x"}, "vq16x"),
    ],
)
def test_a_consistent_but_wrong_checkpoint_is_refused(
    tmp_path: Path, trained: ImageTokenizer, changes: dict[str, object], message: str
) -> None:
    """What another program (or a hostile one) wrote, with a digest that fits."""
    from codeword.checkpoints.state import digest_of, write_tensors

    checkpoints.save(trained, tmp_path)
    change_config(tmp_path, **changes)
    tensors = load_file(tmp_path / "model.safetensors")
    name = digest_of(json.loads((tmp_path / "config.json").read_text()), tensors)
    write_tensors(tmp_path / "model.safetensors", tensors, {"version": 1, "digest": name})
    with pytest.raises(CodewordError, match=message):
        checkpoints.load(tmp_path)


def test_files_that_are_none_are_refused(tmp_path: Path, trained: ImageTokenizer) -> None:
    with pytest.raises(CodewordError, match="which is no folder"):
        checkpoints.load(tmp_path / "nowhere")
    with pytest.raises(CodewordError, match=r"no config\.json"):
        checkpoints.load(tmp_path)
    checkpoints.save(trained, tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for broken in (b"", whole[:100], whole[:-1], whole[:-4] + b"\0\0\0\1", b"\x80\x04pickle"):
        weights.write_bytes(broken)
        with pytest.raises(CodewordError):
            checkpoints.load(tmp_path)
    save_file(load_file_of(whole, tmp_path), weights)
    with pytest.raises(CodewordError, match="of another program"):
        checkpoints.load(tmp_path)


def load_file_of(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    file = folder / "copy"
    file.write_bytes(content)
    return load_file(file)


def test_a_file_where_the_folder_should_be(tmp_path: Path, trained: ImageTokenizer) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CodewordError, match="File exists; choose another place"):
        checkpoints.save(trained, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
