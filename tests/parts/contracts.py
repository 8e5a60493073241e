"""The providers' own descriptions of their APIs: other people's files, which are beside this repository and not in it."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "contracts"


def contracts_folder() -> Path | None:
    """Give where they lie: beside the checkout, or where TALKWIRE_CONTRACTS says; None: nowhere."""
    said = os.environ.get("TALKWIRE_CONTRACTS")
    folder = Path(said) if said else _BESIDE
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def contracts() -> Path:
    """Give the folder; a test that asks for it is skipped where there is none."""
    folder = contracts_folder()
    assert folder is not None, "tests/parts/wants.py skips before"
    return folder
