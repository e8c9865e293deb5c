"""report: one page that needs nothing else, says what is so, and shows nothing that it was not given."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as xml

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

import codeword
from codeword import checkpoints
from codeword.cli import main
from codeword.cli.parse import parse
from codeword.cli.train import Train
from codeword.tokenizers import VectorTokenizer
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import save_png, to_image, to_tensor, training
from codeword.workbench.report.charts import Series, line_chart
from codeword.workbench.report.codes import components
from codeword.workbench.report.patches import patches_of, tiles
from codeword.workbench.report.run_info import command_of
from codeword.workbench.training.run import Run

HOSTILE = '<img src=x onerror="alert(1)">&amp;'  # as far as a file name may go
WORDS = ["--steps", "8", "--batch", "4", "--threads", "1", "--width", "8", "--features", "4"]
PICTURES = [*WORDS, "--size", "16", "--stride", "4", "--quantizer", "rvq2x8"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Page(HTMLParser):
    """What is in a page: its tags with their attributes, and the text of some."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        self.open.append(tag)
        self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def content_of(address: str) -> bytes:
    return base64.b64decode(address.partition(";base64,")[2], validate=True)


def pixels_of(address: str) -> np.ndarray:
    with Image.open(io.BytesIO(content_of(address))) as image:
        return np.array(image)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pictures whose names are HTML, in a folder whose name is too, and its page."""
    base = tmp_path_factory.mktemp("pages")
    folder = base / "a<b>&'\"c"
    for number, (_, image) in enumerate(training()[:3]):
        save_png(folder / f"{number}{HOSTILE}.png", image[200:241, 150:213])
    run = base / "<script>alert(2)<"
    assert main(["train", str(folder), "--out", str(run), *PICTURES]) == 0
    assert main(["report", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def page(hostile: Path) -> Page:
    return Page((hostile / "report.html").read_text("utf-8"))


def test_it_needs_nothing_else(page: Page) -> None:
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script")
    (style,) = page.text["style"]
    assert "url(" not in style
    assert "@import" not in style
    assert any("default-src 'none'" in meta.get("content", "") for meta in page.all("meta"))


def test_names_are_text(page: Page, hostile: Path) -> None:
    assert page.text["h1"] == [hostile.name]
    assert not any("src" in image and image["src"] == "x" for image in page.all("img"))
    assert any(HOSTILE in image["alt"] for image in page.all("img"))
    assert any(HOSTILE in cell for cell in page.text["td"])


def test_it_can_be_read_by_everyone(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert all(image["alt"] for image in page.all("img"))
    for svg in page.all("svg"):
        assert svg["role"] == "img"
    assert len(page.text["svg"]) == len([text for text in page.text["title"][1:] if text])
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities)) > 3
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col"}


@pytest.mark.parametrize("dark", [False, True])
def test_words_can_be_told_from_the_page(page: Page, dark: bool) -> None:
    """Contrast of 4.5 at least, as WCAG 2.1 defines it."""
    (style,) = page.text["style"]
    part = style[style.index("prefers-color-scheme: dark") :] if dark else style
    colours = dict(re.findall(r"--(\w+): (#\w{6})", part)[::-1])

    def light(name: str) -> float:
        parts = [int(colours[name][place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for ink in ("ink", "soft", "accent", "s0", "s1"):
        for ground in ("page", "card"):
            high, low = sorted((light(ink), light(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def test_pictures_are_those_of_the_run(page: Page, hostile: Path) -> None:
    data, _ = Run(hostile).settings()
    with Image.open(Path(data) / f"1{HOSTILE}.png") as image:
        original = np.array(image)
    shown = [pixels_of(image["src"]) for image in page.all("img")[:2]]
    model = checkpoints.load(hostile)
    with torch.no_grad():
        forward = model(to_tensor(original)[None])
    assert np.array_equal(shown[0], original)
    assert np.array_equal(shown[1], to_image(forward.reconstruction[0])[:41, :63])


def test_codes_are_counted(page: Page, hostile: Path) -> None:
    """Over all pictures, of each stage."""
    data, _ = Run(hostile).settings()
    model, tokens = checkpoints.load(hostile), []
    for file in sorted(Path(data).iterdir()):
        with Image.open(file) as image, torch.no_grad():
            tokens.append(model.encode(to_tensor(np.array(image))[None]).reshape(-1, 2).numpy())
    columns = np.concatenate(tokens).T
    said = " ".join(page.text["p"])
    for column in columns:
        counts = np.unique(column, return_counts=True)[1]
        shares = counts / counts.sum()
        entropy = -(shares * np.log2(shares)).sum()
        assert f"{len(counts)} of 8 codes used, perplexity {2**entropy:.1f}, entropy {entropy:.2f}" in said
    assert f"over {len(columns[0])} positions" in said


def test_the_words_train_it_again(page: Page, hostile: Path) -> None:
    data, config = Run(hostile).settings()
    (command,) = page.text["pre"]
    program, *words = shlex.split(command)
    again = parse(words)
    assert program == "codeword"
    assert isinstance(again, Train)
    assert (again.data, again.settings) == (data, config)


@pytest.mark.parametrize("kind", ["image", "audio", "vectors"])
def test_commands_say_what_differs(kind: str, tmp_path: Path) -> None:
    """Of each kind, over the recipe that `train` would take."""
    from codeword.workbench.modalities import MODALITIES
    from codeword.workbench.training.recipes import recipe_settings

    usual = recipe_settings(None, MODALITIES[kind])
    config = TrainConfig(
        **{**vars(usual), "quantizer": "gvq2x(rvq2x8)", "steps": 7, "minutes": 0.5, "clip": 0.0}
    )
    command = command_of("some 'data'", config, kind)
    assert command is not None
    words = shlex.split(command)
    assert words[:5] == ["codeword", "train", "some 'data'", "--out", "NEW_RUN"]
    pairs = dict(zip(words[5::2], words[6::2], strict=True))
    assert pairs == {"--quantizer": "gvq2x(rvq2x8)", "--steps": "7", "--minutes": "0.5", "--clip": "0.0"}


def test_stages_end_with_the_whole(page: Page) -> None:
    headings = page.text["th"]
    start = headings.index("stages")
    assert headings[start + 1] == "bits per position"
    cells = page.text["td"]
    total = cells[cells.index("mean of all") + 1 :][:2]
    assert cells[cells.index("mean of all") + 4].endswith("*")  # its JPEG is larger
    assert any("no JPEG is that small" in text for text in page.text["p"])
    place = cells.index("6.0")  # bits of both stages
    assert cells[place - 1] == "2"
    assert cells[place + 1 : place + 3] == total


def test_the_same_page_twice(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again.html"
    assert main(["report", str(hostile), "--out", str(again), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(again), "bytes": again.stat().st_size}
    assert (tmp_path / "again.html").read_bytes() == (hostile / "report.html").read_bytes()


def test_other_data(hostile: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    words = ["report", str(hostile), "--data", str(images), "--out", str(tmp_path / "folder")]
    assert main(words) == 0
    text = (tmp_path / "folder" / "report.html").read_text("utf-8")
    assert "deep/b.png" in text
    assert HOSTILE not in text
    assert main(["report", str(hostile), "--data", str(tmp_path), "--out", str(tmp_path / "no.html")]) == 2
    assert not (tmp_path / "no.html").exists()
    assert main(["report", str(tmp_path)]) == 2
    assert "codeword train" in capsys.readouterr().err


def test_patches_are_those_of_each_code() -> None:
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, shape, dtype=np.uint8) for shape in ((13, 18, 3), (8, 12, 3))]
    grids = [draw.integers(0, 5, shape) for shape in ((4, 5), (2, 3))]  # -(-13 // 4), -(-18 // 4)
    found: dict[int, list[np.ndarray]] = {}
    for image, grid in zip(images, grids, strict=True):
        for row, column in np.ndindex(*grid.shape):
            patch = image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            if patch.shape == (4, 4, 3):
                found.setdefault(int(grid[row, column]), []).append(patch)
    codes = patches_of(list(zip(images, grids, strict=True)), 4)
    assert {code.number: code.times for code in codes} == {index: len(own) for index, own in found.items()}
    assert [code.times for code in codes] == sorted((code.times for code in codes), reverse=True)
    for code in codes:
        strip = pixels_of(code.picture)
        mean = np.stack(found[code.number]).astype(np.float64).mean(0).round()
        assert np.array_equal(strip[:, :4, :3], mean)
        assert np.array_equal(strip[:, 6 + 1 : 6 + 5, :3], found[code.number][0])
    assert sum(len(tiles(image, grid, 4)[1]) for image, grid in zip(images, grids, strict=True)) == 12 + 6


def test_the_map_is_that_of_principal_components() -> None:
    vectors = np.random.default_rng(1).normal(size=(57, 5)) * [5, 3, 1, 1, 1]
    places, kept = components(vectors)
    reference = PCA(2).fit(vectors)
    assert np.allclose(np.abs(places), np.abs(reference.transform(vectors)))
    assert kept == pytest.approx(reference.explained_variance_ratio_.sum())
    assert components(vectors[:, :1])[0].shape == (57, 2)
    assert components(np.ones((3, 4)))[1] == 1.0


def test_charts_are_drawn_to_scale() -> None:
    drawn = line_chart(
        "a < b", [Series("one & two", [(0, 0), (5, 2), (10, 1), (11, float("nan"))])], "x", "y"
    )
    svg = xml.fromstring(drawn)
    (line,) = svg.iter("polyline")
    points = np.array([pair.split(",") for pair in line.get("points", "").split()], float)
    assert len(points) == 3
    assert points[1, 0] - points[0, 0] == pytest.approx(points[2, 0] - points[1, 0], abs=0.2)
    assert points[0, 1] - points[2, 1] == pytest.approx(points[2, 1] - points[1, 1], abs=0.2)
    assert points[1, 1] < points[2, 1] < points[0, 1]
    assert svg.findtext("title") == "a < b"


def test_sounds_can_be_heard(tmp_path: Path) -> None:
    import soundfile

    draw = np.random.default_rng(2)
    (tmp_path / "sounds").mkdir()
    for number in range(3):
        sound = (
            np.sin(np.arange(1501 + 7 * number) * 0.3 * (1 + number)) * 0.4
            + draw.normal(size=1501 + 7 * number) * 0.01
        )
        soundfile.write(tmp_path / "sounds" / f"{number}.wav", sound, 8000, subtype="PCM_16")
    run = str(tmp_path / "run")
    words = [*WORDS, "--size", "400", "--stride", "20", "--quantizer", "rvq2x8"]
    assert main(["train", str(tmp_path / "sounds"), "--out", run, *words]) == 0
    assert main(["report", run]) == 0
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    players = page.all("audio")
    assert [player["aria-label"] for player in players] == ["original of 1.wav", "reconstruction of 1.wav"]
    original, reconstruction = (soundfile.read(io.BytesIO(content_of(player["src"]))) for player in players)
    expected, rate = soundfile.read(tmp_path / "sounds" / "1.wav")
    assert original[1] == reconstruction[1] == rate == 8000
    assert np.abs(original[0] - expected).max() < 2 / 2**15
    model = checkpoints.load(run)
    with torch.no_grad():
        forward = model(torch.from_numpy(expected).float()[None, None]).reconstruction[0, 0].numpy()
    assert np.abs(reconstruction[0] - forward[: len(expected)].clip(-1, 1)).max() < 2 / 2**15
    assert len(page.all("source")) == 2  # spectra on dark


def test_vectors_have_errors(tmp_path: Path) -> None:
    vectors = np.random.default_rng(3).normal(size=(301, 6)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    data, run = str(tmp_path / "vectors.npy"), str(tmp_path / "run")
    assert main(["compare", data, "--fit", "--quantizers", "rvq2x8", "--out", run, "--threads", "1"]) == 0
    fitted = tmp_path / "run" / "rvq2x8"
    assert main(["report", str(fitted)]) == 0
    page = Page((fitted / "report.html").read_text("utf-8"))
    assert "measured on 30 held-out vectors" in page.text["p"][0]
    assert page.text["th"][:4] == ["name", "relative error", "bits/vector", "cosine"]
    name, error = page.text["td"][:2]
    original = vectors[[int(name)]]
    model = checkpoints.load(fitted)
    with torch.no_grad():
        decoded = model.decode(model.encode(torch.from_numpy(original))).numpy()
    assert error == f"{((decoded - original) ** 2).mean() / float(model.scale) ** 2:.4f}"
    (again,) = page.text["pre"]
    assert (
        main([*shlex.split(again.replace("NEW_FOLDER", str(tmp_path / "again")))[1:], "--threads", "1"]) == 0
    )
    weights = [folder / "rvq2x8" / "model.safetensors" for folder in (tmp_path / "run", tmp_path / "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_tokenizer_that_does_not_say_where_it_is_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = np.random.default_rng(4).normal(size=(99, 6)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    run, data = str(tmp_path / "run"), str(tmp_path / "vectors.npy")
    checkpoints.save(VectorTokenizer.around(codeword.fit(torch.from_numpy(vectors), "vq8")), run)
    (tmp_path / "results.json").write_text("[]")  # of something else
    assert main(["report", run]) == 2
    assert "pass --data" in capsys.readouterr().err
    assert main(["report", run, "--data", data]) == 0
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert "which it may have learned from" in page.text["p"][0]
    assert "pre" not in page.text


def test_semantic_ids(tmp_path: Path) -> None:
    """Of `codeword fit`: the words say what differs from its usual settings."""
    vectors = np.random.default_rng(5).normal(size=(150, 4)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    run, data = str(tmp_path / "run"), str(tmp_path / "vectors.npy")
    assert main(["fit", data, "--out", run, "--quantizer", "rvq2x8", "--beam", "2", "--dedupe"]) == 0
    assert main(["report", run]) == 0
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    words = shlex.split(page.text["pre"][0])
    assert words == shlex.split(f"codeword fit '{data}' --out NEW_RUN --quantizer rvq2x8 --beam 2 --dedupe")


PROBE = "<script>parent.postMessage(document.documentElement.scrollWidth, '*')</script></body>"
FRAME = """<!doctype html><body><iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe>
<script>addEventListener('message', e => document.body.dataset.wide = e.data)</script></body>"""


@pytest.mark.skipif(not os.environ.get("CODEWORD_BROWSER"), reason="CODEWORD_BROWSER=1 opens chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1200, 1), (390, 1), (390, 0)])
def test_in_a_browser(hostile: Path, tmp_path: Path, width: int, scheme: int) -> None:
    """No complaints, nothing wider than the window, and something to see; scheme 0 is dark, 1 light."""
    text = (hostile / "report.html").read_text("utf-8")
    (tmp_path / "page.html").write_text(text, "utf-8")
    seen = re.sub(r"<meta http-equiv=[^>]*>", "", text).replace("</body>", PROBE)
    (tmp_path / "probed.html").write_text(seen, "utf-8")
    (tmp_path / "frame.html").write_text(FRAME.format(page="probed.html", width=width))
    first = browse(tmp_path, "page.html", width, scheme, f"--screenshot={tmp_path / 'shot.png'}")
    assert "CONSOLE" not in first
    with Image.open(tmp_path / "shot.png") as shot:
        shades = np.array(shot.convert("L"))
    assert (shades.mean() > 128) == (scheme == 1)
    assert shades.std() > 10
    framed = browse(tmp_path, "frame.html", 1300, scheme, "--virtual-time-budget=3000", "--dump-dom")
    assert f'data-wide="{width}"' in framed


def browse(folder: Path, page: str, width: int, scheme: int, *words: str) -> str:
    """What chromium says, on stdout and stderr."""
    program = os.environ.get("CODEWORD_BROWSER_PROGRAM", "chromium")
    done = subprocess.run(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},1400",
            f"--blink-settings=preferredColorScheme={scheme}",
            *words,
            (folder / page).as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return done.stdout + done.stderr
