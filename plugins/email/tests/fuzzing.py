"""Feeds our reading with what atheris thinks of, and writes down the inputs that cost most.

Run by `test_reading_hostile.py`: python fuzzing.py FOLDER_FOR_COSTLY [libFuzzer's words].
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["talkwire_email"]):
    from talkwire_email.own import Own
    from talkwire_email.reading import read

from talkwire import Envelope
from talkwire.testing.shapes import faults

OWN = Own(address="support@shop.example", secret=b"s" * 32)
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEPT = 20  # costly inputs that are written down
costly: list[tuple[float, int]] = []


def read_one(mail: bytes) -> None:
    """Read one input; whatever raises, or is no sound item, ends the run."""
    path = "/INBOX/7/headers" if mail[:1] == b"\0" else "/INBOX/7"
    envelope = Envelope(
        endpoint="fuzz", method="MAIL", path=path, headers={}, query=(), body=mail, remote="", received_at=AT
    )
    begun = time.process_time()
    items = tuple(read(envelope, OWN))
    took = time.process_time() - begun
    for item in items:
        for fault in faults(item):
            raise AssertionError(fault)
    if len(costly) < KEPT or took > costly[0][0]:
        _keep(took, mail)


def _keep(took: float, mail: bytes) -> None:
    name = len(costly) if len(costly) < KEPT else costly.pop(0)[1]
    costly.append((took, name))
    costly.sort()
    (FOLDER / f"{name}.eml").write_bytes(mail)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    atheris.Setup([sys.argv[0], *sys.argv[2:]], read_one)
    atheris.Fuzz()
