"""The manual is built by `make docs`; here, that its gate finds what it is there to find."""

import runpy
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "docs.py"
pytestmark = pytest.mark.skipif(
    not TOOL.is_file(), reason="looks at the checkout's own files; this is a copy of the tests"
)


@pytest.fixture(scope="module")
def remote():
    return runpy.run_path(str(TOOL))["remote"]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.html", '<script src="https://cdn.example/a.js"></script>', ["https://cdn.example/a.js"]),
        ("a.html", '<link rel="stylesheet" href="//fonts.example/a.css">', ["//fonts.example/a.css"]),
        ("a.html", "<img src='HTTP://img.example/a.png'>", ["HTTP://img.example/a.png"]),
        ("a.html", '<p style="background: url(https://img.example/b)">', ["https://img.example/b"]),
        ("a.html", "<style>@import 'https://a.example/c.css';</style>", ["https://a.example/c.css"]),
        ("a.css", '@font-face { src: url("https://fonts.example/a.woff2") }', ["https://fonts.example/a.woff2"]),
        ("a.html", '<a href="https://example.org/">read</a> <img src="../a.png"> <script src="a.js"></script>', []),
        ("a.html", "<pre>&lt;img src='https://img.example/a.png'&gt;</pre>", []),
        ("a.css", "a { background: url(data:image/svg+xml;x//y) } /* https://example.org */", []),
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(remote, tmp_path, name, text, found):
    (tmp_path / name).write_text(text)
    assert list(remote(tmp_path)) == [f"{name}: {one}" for one in found]
