"""What every test of this repository may use, in whichever distribution it lives."""

pytest_plugins = [
    "tests.parts.room",  # first: others ask where temporary files go
    "pytester",  # for tests of the collector itself
    "tests.parts.cap",
    "tests.parts.contracts",  # before what asks it: its asserts are rewritten
    "tests.parts.wants",
    "tests.parts.numbers",
    "tests.parts.loopback",
    "tests.parts.accepting",
    "tests.parts.installed",
    "tests.parts.logs",
    "tests.parts.postgres",
    "tests.parts.databases",
    "tests.parts.chromium",
    "tests.parts.postfix",
    "tests.parts.dovecot",
    "tests.parts.dunst",
    "tests.parts.proof",
]
