"""Ids that leave this process."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

from talkwire import ids


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_it(monkeypatch):
    monkeypatch.setattr(ids.time, "time_ns", lambda: 4_000_000_000_123_456_789)  # in the year 2096
    made = uuid.UUID(ids.new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 4_000_000_000_123


def test_ids_of_one_process_sort_as_they_were_made_also_many_in_one_millisecond():
    made = [ids.new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len({one.rpartition("-7")[2] for one in made}) == len(made)  # each has chance of its own
    assert all(str(uuid.UUID(one)) == one for one in made)


def test_no_two_threads_make_one_id():
    with ThreadPoolExecutor(8) as threads:
        made = [one for found in threads.map(lambda _: [ids.new_id() for _ in range(2000)], range(8)) for one in found]
    assert len(set(made)) == len(made)


def test_a_forked_process_has_no_chance_in_common_with_its_parent():
    ids.new_id()  # some are kept for later
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, ids.new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 36).decode()
    os.close(reading)
    os.close(writing)
    assert theirs[-17:] != ids.new_id()[-17:]


def test_what_belongs_to_a_thing_has_one_id_of_its_moment():
    whose = ids.new_id()
    made = ids.derived_id(whose, "photo")
    assert made == ids.derived_id(whose, "photo")
    assert uuid.UUID(made).version == 7
    assert uuid.UUID(made).variant == uuid.RFC_4122
    assert uuid.UUID(made).int >> 80 == uuid.UUID(whose).int >> 80
    assert len({made, ids.derived_id(whose, "other"), ids.derived_id(ids.new_id(), "photo"), whose}) == 4
