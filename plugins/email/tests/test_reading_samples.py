"""Each sample gives exactly what it means."""

from __future__ import annotations

import pytest

from talkwire_email.reading import read

from .letters import OWN
from .samples import FOLDER, SAMPLES


@pytest.mark.parametrize("sample", SAMPLES, ids=[one.name for one in SAMPLES])
def test_a_sample_means_what_is_said(sample):
    assert tuple(read(sample.raw(), OWN)) == sample.means


def test_each_file_is_a_sample_and_names_its_source():
    assert sorted(one.name for one in SAMPLES) == sorted(file.stem for file in FOLDER.glob("*.eml"))
    assert all(file.read_bytes().startswith(b"source: ") for file in FOLDER.glob("*.eml"))
