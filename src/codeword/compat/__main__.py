"""`python -m codeword.compat script.py [args]`: run a script written for the other libraries with all facades."""

from __future__ import annotations

import os
import runpy
import sys

from codeword.compat import FACADES, install, real

_USAGE = f"""usage: python -m codeword.compat script.py [args]

Runs a script in which these imports load codeword's facades, even if the real packages are installed:
{", ".join(FACADES)}.
"""


def main(argv: list[str]) -> int:
    """Run the script of the command line. The exit status is that of the script."""
    if not argv or argv[0] in ("-h", "--help"):
        (sys.stdout if argv else sys.stderr).write(_USAGE)
        return 0 if argv else 2
    script = argv[0]
    if not os.path.exists(script):
        sys.stderr.write(f"codeword.compat: no such script: {script}\n")
        return 2
    sys.argv = argv
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.abspath(script))  # as with `python script.py`
    hidden = {name: place for name in FACADES if (place := real(name)) is not None}
    install(*FACADES, force=True)
    for name, place in hidden.items():
        sys.stderr.write(f"codeword.compat: {name} is the facade; hidden: {place}\n")
    runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
