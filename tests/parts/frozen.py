"""What stands once all tests are known is looked through by no collection of cycles: it cost each worker 20 s of a run."""

import gc

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
