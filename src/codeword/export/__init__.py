"""Export of models: programs of torch.export, and ONNX graphs."""

from codeword.export.files import save
from codeword.export.graphs import onnx_model
from codeword.export.programs import program
from codeword.export.translation import translations

__all__ = ["onnx_model", "program", "save", "translations"]
