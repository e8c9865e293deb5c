"""What codeword needs and what it never does unasked: packages, the network, files beside its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
OPTIONAL = {
    "accelerate",
    "faiss",
    "huggingface_hub",
    "llvmlite",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "PIL",
    "pyarrow",
    "ray",
    "rich",
    "scipy",
    "skimage",
    "sklearn",
    "transformers",
    "triton",
    "tyro",
    "vector_quantize_pytorch",
}
WORK = """
    import sys, tempfile

    {guard}

    import torch
    import codeword
    from codeword.tokenizers import ImageTokenizer

    torch.manual_seed(0)
    for spec in ("vq16", "rvq2x8", "fsq5-5-5-5", "lfq4"):
        vq = codeword.from_spec(spec, features=4)
        for _ in range(3):
            out = vq(torch.randn(50, 4, requires_grad=True))
            (out.quantized.sum() + out.loss).backward()
        with tempfile.TemporaryDirectory() as folder:
            codeword.save_pretrained(vq, folder)
            again = codeword.from_pretrained(folder)
        x = torch.randn(9, 4)
        assert torch.equal(again.encode(x), vq.encode(x))
    model = ImageTokenizer(codeword.VectorQuantizer(8, 16, dim=1), width=8)
    model(torch.randn(2, 3, 16, 16).clamp(-1, 1))
    print("done")
"""
NOTHING_OPTIONAL = """
    class Without:
        def __init__(self, finder):
            self.finder = finder

        def find_spec(self, name, path=None, target=None):
            there = name.partition(".")[0] not in {optional!r}
            return self.finder.find_spec(name, path, target) if there else None

        def __getattr__(self, name):
            return getattr(self.finder, name)

    sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
NO_NETWORK = """
    def audit(event, arguments):
        if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
            raise RuntimeError(f"{event} {arguments}")

    sys.addaudithook(audit)
"""


def work(guard: str) -> subprocess.CompletedProcess[str]:
    """Train, save and load in a process of its own, with a guard."""
    code = textwrap.dedent(WORK).format(guard=textwrap.dedent(guard))
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_what_is_required_is_enough():
    result = work(NOTHING_OPTIONAL.format(optional=OPTIONAL))
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


def test_no_network_and_no_other_program_unasked():
    result = work(NO_NETWORK)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


def test_the_guards_do_guard():
    refused = work(NOTHING_OPTIONAL.format(optional={"safetensors"}))
    assert "No module named 'safetensors'" in refused.stderr
    called = work(NO_NETWORK + "\n    import socket\n    socket.create_connection(('127.0.0.1', 9))\n")
    assert "RuntimeError: socket." in called.stderr


def required() -> dict[str, str]:
    """The packages that codeword depends on, each with the lowest version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return dict(requirement.split(">=") for requirement in project["dependencies"])


def test_three_packages_are_required():
    assert set(required()) == {"torch", "numpy", "safetensors"}


@pytest.mark.slow
def test_wheel_and_sdist_install_into_an_empty_environment(tmp_path):
    """Built from the sources, and from the sdist; what is installed imports and runs, with the torch that is here."""
    wheel = build_wheel(tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert all(name.startswith(("codeword/", "codeword-")) for name in names)
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "codeword").rglob("*.py")}
    assert sources <= set(names)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "builder"], check=True)
    builder = tmp_path / "builder" / "bin" / "python"
    subprocess.run([builder, "-m", "pip", "install", "--quiet", "hatchling"], check=True)
    subprocess.run(
        [builder, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path / "sdist"], cwd=ROOT, check=True
    )
    (sdist,) = (tmp_path / "sdist").glob("codeword-*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {Path(*Path(name).parts[1:]).as_posix() for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/codeword/__init__.py"} <= members
    for number, package in enumerate((wheel, sdist)):
        check_install(package, tmp_path / f"environment {number}")


@pytest.mark.soak
@pytest.mark.parametrize("torch", [f"torch=={required()['torch']}", "torch"], ids=["lowest", "newest"])
def test_lowest_and_newest_torch(torch, tmp_path):
    """From the registry, with all that depends on it: gigabytes, since the usual torch for Linux brings CUDA along."""
    found = [*PIP, "install", "--dry-run", "--ignore-installed", "--no-deps", torch]
    if subprocess.run(found, capture_output=True, check=False).returncode:
        pytest.skip(f"no registry within reach has {torch}")
    check_install(build_wheel(tmp_path), tmp_path / "environment", torch)


def build_wheel(folder: Path) -> Path:
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("codeword-*.whl")
    return wheel


def check_install(package: Path, folder: Path, torch: str | None = None) -> None:
    """Install into a new environment, and train a little there.

    Without a torch to install it sees the one of this environment, and is installed without dependencies.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    packages = ["--no-deps", package] if torch is None else [torch, package]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    if torch is None:
        (place,) = folder.glob("lib/python*/site-packages")
        # After its own packages, and without the editable codeword that a .pth file there would put in front.
        (place / "torch_of_the_tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    code = (
        textwrap.dedent(WORK).format(guard="")
        + "\nassert 'environment' in codeword.__file__, codeword.__file__\n"
    )
    alone = [python, "-E", "-W", "ignore", "-c", code]  # without PYTHONPATH, which may lead to the sources
    result = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
