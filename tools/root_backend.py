"""The build backend of the repository's root, which is a workspace: says what to type instead."""


def _refuse(*_args: object, **_kwargs: object) -> str:
    raise SystemExit(
        "\nThis folder is a workspace, not a package.\n"
        "  to work on it:      make env   (then: make test)\n"
        "  to look at it:      make demo\n"
        "  to install a part:  pip install ./core   (or ./examples/smsgate, …)\n"
    )


build_wheel = build_sdist = build_editable = _refuse
