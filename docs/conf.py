"""How the manual is built: the repository's own Markdown where it lies, so that each link holds on both sides.

The pages stay plain Markdown. What only a builder needs is added here while it reads: the tables of contents of the
front page, made from the folders, and the files of `docs/proof` below that folder's page.
"""

from __future__ import annotations

import html
import re
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

project = "Talkwire"
author = "the authors of Talkwire"
release = version = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text())["project"]["version"]
html_title = f"Talkwire {version}"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/**",
    "plugins/*/*.md",
    "examples/*/*.md",
]
exclude_patterns = ["**/node_modules", "**/tests", "**/src", "**/.*", ".*", "core", "build", "dist", "bench", "changes"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = [
    "myst.header",  # the pages that tools write begin with a comment, and parts of a page may skip a level
    "misc.highlighting_failure",  # `…` stands for what is left out, in any language
]

html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
html_theme_options = {"top_of_page_buttons": [], "navigation_with_keys": True}
highlight_language = "text"
pygments_style = "friendly"
pygments_dark_style = "monokai"
nitpicky = True

_SECTIONS = {  # caption → where its pages lie, in this order; within a folder the order of its titles
    "Tutorial": ["docs/tutorial/*.md"],
    "How to": ["docs/howto/*.md"],
    "Plugins and examples": ["plugins/*/*.md", "examples/*/*.md"],
    "Reference": ["docs/reference/*.md"],
    "Explanation": ["docs/explanation/*.md"],
    "Proof": ["docs/proof/index.md"],
    "The project": ["CONTRIBUTING.md", "SECURITY.md"],
}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#:]+)\)")


def setup(app: Any) -> None:
    """Let Sphinx ask us for what is added."""
    app.connect("source-read", _add)
    app.connect("env-get-outdated", lambda *_: [root_doc, "docs/proof/index"])  # they depend on what there is


def _add(app: Any, name: str, source: list[str]) -> None:
    source[0] = _LINK.sub(partial(_unlinked, Path(app.env.doc2path(name)).parent), source[0])
    if name == root_doc:
        source[0] += "".join(_contents(caption, globs) for caption, globs in _SECTIONS.items())
    if name == "docs/proof/index":
        source[0] += "".join(_shown(path) for path in sorted((ROOT / "docs" / "proof").iterdir()))


def _unlinked(folder: Path, found: re.Match[str]) -> str:
    """Leave a link to a folder as its text: there are no pages of folders."""
    return found[1] if (folder / found[2]).is_dir() else found[0]


def _contents(caption: str, globs: list[str]) -> str:
    found = [path for one in globs for path in sorted(ROOT.glob(one), key=_title)]
    lines = [f"/{path.relative_to(ROOT).with_suffix('')}" for path in found]
    if not lines:
        return ""
    return "\n".join(["\n", ":::{toctree}", f":caption: {caption}", ":maxdepth: 1", "", *lines, ":::"])


def _title(path: Path) -> str:
    return next((line for line in path.read_text("utf-8").splitlines() if line.startswith("# ")), path.name).lower()


def _shown(path: Path) -> str:
    if path.suffix == ".txt":
        return f"\n\n## {path.stem}\n\n<pre>{html.escape(path.read_text('utf-8'))}</pre>\n"
    if path.suffix in {".png", ".svg"}:
        return f"\n\n![{path.stem}]({path.name})\n"
    return ""
