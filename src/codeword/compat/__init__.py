"""Facades of other libraries: their names, arguments, results and checkpoints, over codeword's own quantizers.

Each facade is a package here, `codeword.compat.vqtorch` and so on, that can be imported as it is. After `install`,
programs written for the original import the facade under the original's name.
"""

from codeword.compat.alias import FACADES, install, real, uninstall
from codeword.compat.state import Facade, export_state_dict

__all__ = ["FACADES", "Facade", "export_state_dict", "install", "real", "uninstall"]
