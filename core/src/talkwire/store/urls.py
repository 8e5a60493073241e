"""Where a database is, in words for people."""

from __future__ import annotations

import re


def place_of(url: str) -> str:
    """Give a URL without user and password."""
    return re.sub(r"//[^/]*@", "//", url).split("?", 1)[0]
