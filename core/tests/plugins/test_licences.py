"""What a plugin brings along under the GPL is read from what is installed, and said by `talkwire plugins`."""

import pytest

from talkwire.licences import bound_by


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Put a distribution on the path that says this of itself."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, *lines):
        info = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        info.mkdir()
        said = "\n".join(("Metadata-Version: 2.4", f"Name: {name}", "Version: 1", *lines))
        (info / "METADATA").write_text(said + "\n")

    bound_by.cache_clear()
    yield make
    bound_by.cache_clear()


def test_what_is_bound_is_named_with_its_licence_however_deep_it_lies(put):
    put("bound-a", "License-Expression: Apache-2.0", "Requires-Dist: bound-b~=1.0", "Requires-Dist: not-here")
    put("bound-b", "License-Expression: MIT", 'Requires-Dist: Bound_C ; python_version > "3"')
    put("bound-c", "License-Expression: GPL-3.0-only", "Requires-Dist: bound-a")
    assert bound_by("bound-a") == ("bound-c GPL-3.0-only",)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("License: AGPLv3", ("free-b AGPLv3",)),
        ("License-Expression: LGPL-3.0-only", ()),
        ("Classifier: License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", ()),
        (
            "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            ("free-b GNU General Public License v3 (GPLv3)",),
        ),
        ("Summary: GPL", ()),
    ],
)
def test_the_licence_is_read_wherever_it_stands(put, line, found):
    put("free-a", "License-Expression: Apache-2.0", "Requires-Dist: free-b")
    put("free-b", line)
    assert bound_by("free-a") == found


def test_what_only_an_extra_needs_binds_nobody(put):
    put("extra-a", 'Requires-Dist: extra-b>=1; extra == "more"', "Provides-Extra: more")
    put("extra-b", "License-Expression: GPL-3.0-only")
    assert bound_by("extra-a") == ()


def test_the_core_brings_nothing_of_that_kind():
    assert bound_by("talkwire") == ()
