"""Plugins that are installed for one test."""

import sys

import pytest


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one plugin on the path; gives nothing, imports nothing."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(name, code, *, distribution=None, version="1.2"):
        distribution = distribution or f"talkwire-{name.replace('_', '-')}"
        module = f"installed_{distribution.replace('-', '_')}"
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\nLicense-Expression: Apache-2.0\n"
        )
        (info / "entry_points.txt").write_text(f"[talkwire]\n{name} = {module}\n")
        (tmp_path / f"{module}.py").write_text(code)
        made.append(module)
        return module

    yield make
    for module in made:
        sys.modules.pop(module, None)
