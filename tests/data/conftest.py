from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Four good pictures, three that cannot be used, and files of other kinds."""
    root = tmp_path / "pictures"
    for number, name in enumerate(["b.png", "a.png", "a.jpg", "deep/er/C.PNG"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 7 + number, 3), 40 * number, np.uint8)).save(root / name)
    (root / "text.png").write_text("not a picture")
    Image.effect_noise((64, 64), 50).save(root / "half.png")
    os.truncate(root / "half.png", (root / "half.png").stat().st_size // 2)
    (root / "gone.png").symlink_to(root / "nowhere")
    (root / "notes.txt").write_text("notes")
    (root / ".hidden.png").write_bytes(b"")
    (root / ".git").mkdir()
    (root / ".git" / "x.png").write_bytes(b"")
    (root / "a.d.png").mkdir()
    return root
