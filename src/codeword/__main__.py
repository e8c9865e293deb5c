"""`python -m codeword` is the command `codeword`."""

from __future__ import annotations

import sys

from codeword.cli import main

if __name__ == "__main__":
    sys.exit(main())
