"""The tests' own rules are tested: a rule that refuses nothing guards nothing."""

import asyncio
import gc
import socket
import warnings

import pytest
from aiohttp import web

from tests.parts.numbers import tag_by_number
from tests.parts.wants import needed

NUMBERS = "| # | tag | statement |\n| --- | --- | --- |\n| 3DN-09 | U | drawn |\n| 3DN-19 | BU | refused |\n| CARD-01 | B | hooks |\n"


UNICORN = """
from tests.parts.wants import PARTS, Part

PARTS["unicorn"] = Part(packages=("unicorn",), is_here=lambda: False)
PARTS["map"] = Part(packages=(), is_here=lambda: False, elsewhere="draw a map")
"""
OURS = ("numbers", "wants", "loopback", "cap")


@pytest.fixture
def inner(pytester, pytestconfig, monkeypatch):
    """A run inside the run, in a process of its own, with our rules and nothing else."""
    (pytester.path / "requirements").mkdir()
    (pytester.path / "requirements" / "numbers.md").write_text(NUMBERS)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nmarkers =\n requirement\n needs")
    pytester.makeconftest(UNICORN)
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    monkeypatch.setenv("TALKWIRE_REQUIRE", "")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # most of such a run would be their imports

    def run(source, timeout=None):
        pytester.makepyfile(source)
        rules = [word for name in OURS for word in ("-p", f"tests.parts.{name}")]
        theirs = ["-p", "pytest_asyncio.plugin", "-p", "pytest_timeout"]
        return pytester.runpytest_subprocess(*rules, *theirs, "-p", "no:cacheprovider", timeout=timeout)

    return run


FALSE = """
import pytest

@pytest.mark.requirement("3DN-99")
def test_unwritten(): pass

@pytest.mark.requirement("CARD-01", "3DN-19")
def test_two(): pass

@pytest.mark.requirement()
def test_none(): pass

@pytest.mark.requirement("3DN-19")
def test_seen_without_a_page(tmp_path): pass

@pytest.mark.requirement("3DN-09")
def test_drawn_without_a_page(): pass

@pytest.mark.requirement("CARD-01")
def test_true(): pass
"""


def test_the_collector_refuses_every_false_requirement(inner):
    result = inner(FALSE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*::test_unwritten: *has no 3DN-99",
            "*::test_two: *names one number*",
            "*::test_none: *names one number*",
            "*::test_seen_without_a_page: 3DN-19 is tagged BU*must open a page*",
            "*::test_drawn_without_a_page: 3DN-09 is tagged U*must open a page*",
        ],
        consecutive=True,
    )
    assert "test_true" not in result.stderr.str()


def test_the_collector_takes_a_true_requirement(inner):
    result = inner(
        "import pytest\nfrom tests.parts.wants import PARTS\n\nPARTS.pop('chromium')\n\n@pytest.fixture\ndef page(): pass\n\n"
        '@pytest.mark.requirement("3DN-19")\ndef test_page(page): pass\n\n'
        '@pytest.mark.requirement("CARD-01")\ndef test_wire(): pass\n'
    )
    result.assert_outcomes(passed=2)


def test_every_number_of_the_list_is_read(pytestconfig):
    tags = tag_by_number(pytestconfig.rootpath)
    prefixes = [number.partition("-")[0] for number in tags]
    assert {prefix: prefixes.count(prefix) for prefix in prefixes} == {
        "CARD": 10,
        "3DN": 23,
        "3DR": 17,
        "OCT": 31,
        "OCC": 18,
        "D": 35,
    }


NEEDY = 'import pytest\n\n@pytest.mark.needs("unicorn")\ndef test_it(): pass\n'


def test_a_missing_part_is_skipped_loudly(inner):
    result = inner(NEEDY)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["1 tests skipped for want of: unicorn (1)", "type: apt-get install * unicorn"])


def test_a_missing_part_fails_where_all_is_required(inner, monkeypatch):
    monkeypatch.setenv("TALKWIRE_REQUIRE", "all")
    inner(NEEDY).assert_outcomes(errors=1)


def test_what_is_in_no_package_is_skipped_even_then_and_as_loudly(inner, monkeypatch):
    monkeypatch.setenv("TALKWIRE_REQUIRE", "all")
    result = inner('import pytest\n\n@pytest.mark.needs("map")\ndef test_it(): pass\n')
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["1 tests skipped for want of: map (1)", "type: draw a map"])


def test_a_part_nobody_knows_is_refused(inner):
    result = inner('import pytest\n\n@pytest.mark.needs("unicron")\ndef test_it(): pass\n')
    result.stderr.fnmatch_lines(["*no part is called unicron*"])


LEAVING = """
import asyncio, socket
import pytest

def test_by_number():
    with pytest.raises(OSError), socket.socket() as outside:
        outside.connect(("192.0.2.1", 80))

async def test_by_name():
    with pytest.raises(OSError):
        await asyncio.get_running_loop().getaddrinfo("talkwire.example", 80)
"""


def test_a_test_that_leaves_the_machine_fails_even_if_it_catches_the_error(inner):
    result = inner(LEAVING)
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*wanted to leave the machine*192.0.2.1*"])


async def test_loopback_is_not_outside():
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(
            "localhost", server.sockets[0].getsockname()[1], family=socket.AF_INET
        )
        writer.close()
        await writer.wait_closed()


def test_what_make_check_runs_needs_no_part(request):
    here = request.path.parent
    checked = [item for item in request.session.items if {here, here.parent / "docs"} & set(item.path.parents)]
    assert request.node in checked
    assert [item.nodeid for item in checked if needed(item)] == []


SPINNING = """
import asyncio
import time

import pytest


async def spin():
    while True:
        await asyncio.sleep(0)


@pytest.mark.timeout(0.5)
async def test_it_spins_among_others_that_nobody_waits_for():
    others = [asyncio.create_task(spin()) for _ in range(20)]
    await spin()


@pytest.mark.timeout(0.5)
async def test_it_waits_for_nothing():
    await asyncio.Event().wait()


@pytest.mark.timeout(0.5)
def test_it_has_no_loop():
    while True:
        time.sleep(0.01)


async def test_the_next_one_is_not_hurt():
    await asyncio.sleep(0)


@pytest.fixture
async def lingering():
    yield
    await asyncio.Event().wait()


@pytest.mark.timeout(0.5)
async def test_its_fixture_never_ends(tmp_path, lingering):
    pass


def test_what_comes_after_it_has_a_folder_of_its_own(tmp_path):
    assert tmp_path.name.startswith("test_what_comes_after_it")
"""


@pytest.mark.timeout(60)
def test_a_test_that_spins_on_the_loop_ends_at_its_cap(inner):
    inner(SPINNING, timeout=40).assert_outcomes(failed=3, passed=3, errors=1)


@pytest.mark.parametrize("turns", range(5))
def test_who_connects_while_a_server_ends_is_not_left_open(turns):
    async def end_meanwhile():
        runner = web.AppRunner(web.Application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        with socket.create_connection(runner.addresses[0]):
            for _ in range(turns):
                await asyncio.sleep(0)
            await runner.cleanup()

    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always")
        asyncio.run(end_meanwhile())
        gc.collect()
    assert not [str(one.message) for one in left_open if one.category is ResourceWarning]
