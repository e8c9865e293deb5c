"""Models without codeword's classes: programs of torch.export, and ONNX."""

from codeword.export.files import save
from codeword.export.graphs import onnx_model
from codeword.export.programs import program
from codeword.export.translation import translations

__all__ = ["onnx_model", "program", "save", "translations"]
