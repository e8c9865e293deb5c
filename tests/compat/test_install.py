"""Facades under the originals' names: only when asked for, the same objects, and undone."""

import importlib
import subprocess
import sys

import pytest

import codeword.compat as compat
from codeword.errors import CodewordError

PEER = "vector_quantize_pytorch"


@pytest.fixture(autouse=True)
def _undone():
    yield
    compat.uninstall()


def _python(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )


def test_importing_codeword_installs_nothing(tmp_path):
    code = (
        "import sys; before = list(sys.meta_path); import codeword, codeword.compat as c; "
        "assert sys.meta_path == before; assert not set(c.FACADES) & set(sys.modules)"
    )
    assert _python("-c", code, cwd=tmp_path).returncode == 0


def test_both_names_are_one_module():
    compat.install("bitcodes_pytorch")
    import bitcodes_pytorch

    assert bitcodes_pytorch is importlib.import_module("codeword.compat.bitcodes_pytorch")
    assert bitcodes_pytorch.__spec__.name == bitcodes_pytorch.__name__ == "codeword.compat.bitcodes_pytorch"


def test_submodules_are_the_same_objects_and_others_are_not_found():
    compat.install("torchtools")
    under, own = (
        importlib.import_module(f"{root}torchtools.functional.vq") for root in ("", "codeword.compat.")
    )
    assert under is own
    assert sys.modules["torchtools"].functional.vq is own
    with pytest.raises(ModuleNotFoundError, match=r"torchtools\.nothing"):
        importlib.import_module("torchtools.nothing")


def test_a_real_package_is_refused_by_name_and_nothing_is_installed():
    with pytest.raises(CodewordError, match=f"no package {PEER} of its own.*force=True"):
        compat.install("bitcodes_pytorch", PEER)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("bitcodes_pytorch")


def test_force_hides_the_real_package_and_uninstall_brings_it_back():
    real = importlib.import_module(PEER)
    inner = importlib.import_module(f"{PEER}.{PEER}")
    compat.install(PEER, force=True)
    assert importlib.import_module(PEER) is importlib.import_module(f"codeword.compat.{PEER}")
    assert compat.real(PEER) == real.__file__
    compat.uninstall(PEER)
    assert importlib.import_module(PEER) is real
    assert importlib.import_module(f"{PEER}.{PEER}") is inner


def test_installing_twice_is_as_once():
    path = list(sys.meta_path)
    compat.install("torchtools")
    compat.install("torchtools", "bitcodes_pytorch")
    compat.uninstall("torchtools")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("torchtools")
    importlib.import_module("bitcodes_pytorch")
    compat.uninstall()
    assert sys.meta_path == path


@pytest.mark.parametrize("act", [compat.install, compat.uninstall])
def test_an_unknown_name_is_refused(act):
    with pytest.raises(CodewordError, match="'vq_torch'.*vqtorch"):
        act("vq_torch")


def test_install_wants_names():
    with pytest.raises(CodewordError, match="torchtools"):
        compat.install()


SCRIPT = """
import sys
import beside
from torchtools.vq import VectorQuantize
import vector_quantize_pytorch
print(__name__, sys.argv[1:], beside.VALUE, vector_quantize_pytorch.__name__)
sys.exit(3)
"""


def test_a_script_runs_with_all_facades(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "script.py").write_text(SCRIPT)
    (tmp_path / "folder" / "beside.py").write_text("VALUE = 7")
    ran = _python("-m", "codeword.compat", "folder/script.py", "--flag", "a b", cwd=tmp_path)
    assert ran.returncode == 3, ran.stderr
    assert ran.stdout == f"__main__ ['--flag', 'a b'] 7 codeword.compat.{PEER}\n"
    assert f"{PEER} is the facade; hidden: " in ran.stderr
    assert "torchtools" not in ran.stderr


def test_the_command_names_a_script_that_is_missing(tmp_path):
    ran = _python("-m", "codeword.compat", "missing.py", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (2, "codeword.compat: no such script: missing.py\n")
    assert _python("-m", "codeword.compat", cwd=tmp_path).returncode == 2
    assert "usage" in _python("-m", "codeword.compat", "--help", cwd=tmp_path).stdout
