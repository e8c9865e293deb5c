"""Does the search of the site find every public name? `make docs` runs this after it has built the site.

A name is found if it is a word in the title of a section of the search index; upper and lower case are the same.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from public import public_names

INDEX = Path(__file__).parents[1] / "site" / "search" / "search_index.json"


def missing(index: Path) -> list[str]:
    """The public names that no title contains."""
    titles = " ".join(section["title"] for section in json.loads(index.read_text())["docs"])
    words = set(re.findall(r"\w+", titles.lower()))
    names = [path for path in public_names() if not path.startswith("_")]
    return [path for path in names if path.rpartition(".")[2].lower() not in words]


if __name__ == "__main__":
    if names := missing(INDEX):
        sys.exit(f"the search of the site does not find {', '.join(names)}")
