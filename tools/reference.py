"""Write docs/reference/ from the code: hooks, settings, errors, features, states, hub, kit, HTTP API, commands, metrics, modules.

reference.py            writes the pages
reference.py --check    says which pages are not what the code says, and writes nothing
"""

import argparse
import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
CORE = ROOT / "core" / "src" / "talkwire"
MADE = "<!-- Made by tools/reference.py from the code; change it there. -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a page differs")
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = PAGES / name
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    for name in stale:
        print(f"reference: docs/reference/{name} {'is not what the code says' if check else 'written'}")
    return 1 if check and stale else 0


def pages() -> dict[str, str]:
    """Give every page by its file's name."""
    made: dict[str, Callable[[], Iterable[str]]] = {
        "hooks.md": hooks,
        "settings.md": settings,
        "templates.md": templates,
        "reasons.md": reasons,
        "errors.md": errors,
        "features.md": features,
        "states.md": states,
        "hub.md": hub,
        "kit.md": kit,
        "api.md": api,
        "cli.md": cli,
        "metrics.md": metrics,
        "modules.md": modules,
    }
    return {name: "\n".join([MADE, "", *page()]).rstrip() + "\n" for name, page in made.items()}


# --- what several pages need ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One `name: type = default  # comment` in a class, with the docstring below it."""

    name: str
    type: str
    default: str  # as written; empty: none
    note: str
    doc: str


def attributes(kind: type) -> list[Attribute]:
    """Read a class's attributes with what is written beside and below them."""
    lines, _ = inspect.getsourcelines(kind)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    found = []
    for position, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, annotation = node.target.id, ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and issubclass(kind, Enum):
            name, annotation = node.targets[0].id, ""
        else:
            continue
        following = body[position + 1] if position + 1 < len(body) else None
        doc = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            doc = inspect.cleandoc(str(following.value.value))
        value = ast.unparse(node.value) if node.value else ""
        found.append(Attribute(name, annotation, value, _note(lines, node), doc))
    return found


def _note(lines: list[str], node: ast.AST) -> str:
    """Give the comment on the attribute's own lines, or on comment lines right below."""
    notes = [_comment(line) for line in lines[node.lineno - 1 : node.end_lineno]]  # type: ignore[attr-defined]
    for line in lines[node.end_lineno :]:  # type: ignore[attr-defined]
        if not line.strip().startswith("#"):
            break
        if not line.strip().startswith("# ---") and line.strip().startswith("#   "):
            notes.append(_comment(line))
    return " ".join(note for note in notes if note)


def _comment(line: str) -> str:
    found = re.search(r"(?:^|\s)#\s*(.*)$", line)
    text = found[1].strip() if found else ""
    return "" if text.startswith(("noqa", "type:")) else re.sub(r"\s*#?\s*noqa:.*$", "", text)


def metrics() -> Iterator[str]:
    from talkwire.api.metrics import FAMILIES

    yield from (
        "# Metrics",
        "",
        "With this page you can write alerts and draw graphs.",
        "",
        "`GET /metrics` on the admin port gives them in the format of Prometheus; [Monitor it](../howto/monitor.md) says how to scrape.",
        "Labels name accounts, channels, groups of lanes, readers and routes, never a conversation or a person.",
        "Counters and histograms are of this daemon since it started: add them over the daemons.",
        "What is marked *of the database* is the same from every daemon: take the largest.",
        "Beside these there are the `process_…` figures that every Python program gives.",
    )
    for one in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in one.labels) or "none"
        where = "of the database" if one.whole else "of this daemon"
        yield from ("", f"## {one.name}", "", one.help, "", f"- kind: {one.kind}, {where}", f"- labels: {labels}")


def modules() -> Iterator[str]:
    yield from (
        "# The map of the core",
        "",
        "With this page you find the module that does something, and know what it may import.",
        "",
        "A module imports from its own layer and from those below it, never from above: `tests/boundaries/test_imports.py` walks the imports of all.",
        "Plugins see none of this but what `talkwire/__init__.py` exports.",
    )
    for number, names in enumerate(_layers(), 1):
        yield from ("", f"## Layer {number}", "", "| module | does |", "|---|---|")
        for name in sorted(names.split()):
            folder = CORE / name
            if not folder.is_dir():
                yield f"| `{name}` | {_said(folder.with_suffix('.py'))} |"
                continue
            yield f"| `{name}/` | {_said(folder / '__init__.py')} |"
            for file in sorted(folder.glob("*.py")):
                if file.stem != "__init__":
                    yield f"| `{name}/{file.stem}` | {_said(file)} |"


def _said(module: Path) -> str:
    """Give the first paragraph of a module's docstring, in one line."""
    said = (ast.get_docstring(ast.parse(module.read_text("utf-8"))) or "").partition("\n\n")[0]
    return " ".join(said.split())


def _layers() -> list[str]:
    """Read which module stands on which layer, from the test that holds them to it."""
    tree = ast.parse((ROOT / "tests" / "boundaries" / "test_imports.py").read_text("utf-8"))
    (found,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    )
    return list(ast.literal_eval(found))


def prose(text: str) -> list[str]:
    """Write a docstring one sentence a line, paragraphs and `Word:` lines kept apart."""
    made: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if re.search(r"^ {4}", block, re.MULTILINE):
            made += ["", "```text", *textwrap.dedent(block).splitlines(), "```"]
            continue
        made += ["", *sentences(" ".join(block.split()))]
    return made[1:]


def sentences(text: str) -> list[str]:
    """Split into sentences, one a line."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", text)


def cell(text: str) -> str:
    """Write text for a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Write a table."""
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(cell(one) for one in row)} |" for row in rows)]


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# --- hooks ---------------------------------------------------------------------------------------------

FAMILIES = {
    "register": "Give things: called once, when the plugin is loaded.",
    "shape": "Before storing: may replace, or refuse.",
    "on": "After storing: told until taken.",
    "forget, export": "When an operator asks for somebody's data.",
}
_QUESTION = re.compile(r"(?:^|(?<=\.\s)|(?<=\n))((?:When|Order|Answer|Error|Twice)(?:, [a-z ,]+)?):")


def hooks() -> Iterator[str]:
    """Write the page of hooks."""
    from talkwire import hooks as specs

    yield "# Hooks"
    yield ""
    yield "With this page you know what each hook is called with, when, and what its answer does."
    yield "A plugin marks a function with `talkwire.hookimpl` and names it as here."
    yield "Parameters are asked for by name, in any subset; `hub` and `settings` may be asked for wherever they stand."
    yield ""
    yield from table(
        ["your function is", "it runs", "it may"],
        [
            ["`def`", "in a thread of the plugin, eight at once", "wait, up to 30 s"],
            ["`async def`", "on the event loop", "await, up to 30 s; never block"],
            ["`def` with `tx`", "inside the transaction that moves the plugin's cursor", "compute, and use `tx`"],
            ["`async def` with `tx`", "never: the plugin is refused", ""],
        ],
    )
    yield ""
    yield (
        "A hook with `tx` has the database's writer for itself while it runs: over 50 ms it is named in health, "
        "over 5 s the log names it and `/livez` fails."
    )
    yield "That is the price of being told exactly once; see [security](../explanation/security.md)."
    yield f"The version of this interface is {specs.HOOK_API}."
    for family, words in FAMILIES.items():
        yield ""
        yield f"## Family {family}"
        yield ""
        yield words
        for name, function in vars(specs).items():
            if inspect.isfunction(function) and hasattr(function, "talkwire_spec") and family == family_of(name):
                yield ""
                yield f"### {name}"
                yield ""
                yield "```python"
                yield f"{name}({', '.join(inspect.signature(function).parameters)})"
                yield "```"
                yield ""
                yield from _answers(function)


def family_of(name: str) -> str:
    """Say to which family a hook belongs."""
    if name.startswith(("forget_", "export_")):
        return "forget, export"
    return "register" if name.startswith("register_") else "shape" if name in SHAPES else "on"


SHAPES = ("shape_inbound", "format_reply")


def _answers(function: Any) -> Iterator[str]:
    doc = inspect.getdoc(function) or ""
    title, _, rest = doc.partition("\n\n")
    yield from prose(title)
    flat = " ".join(rest.split())
    pieces = re.split(r"(?:^|(?<=[.;]) )((?:When|Order|Answer|Error|Twice)(?:, (?:order|answer|error|twice))*): ", flat)
    yield ""
    for question, said in zip(pieces[1::2], pieces[2::2], strict=True):
        yield f"- **{question}**: {said}"


# --- settings ------------------------------------------------------------------------------------------


def settings() -> Iterator[str]:
    """Write the page of settings."""
    from talkwire import sections

    yield "# Settings"
    yield ""
    yield "With this page you can write every key of `talkwire.toml`."
    yield "Unknown keys are faults; `talkwire check` names all faults at once, and exits with 78."
    yield "A duration has its unit: `500ms`, `10s`, `2m`, `24h`, `7d`; a size as well: `512 KiB`, `25 MiB`."
    yield "`${NAME}`, `${NAME:-default}` and `${file:/path}` in a string are replaced after the file is read."
    plain = {f"[{name}]": (name, kind) for name, kind in sections.SECTIONS.items()}
    tables: dict[str, tuple[str, type[Any]]] = {
        **plain,
        "[plugins]": ("plugins", sections.PluginKeys),
        "[accounts.NAME]": ("accounts.NAME", sections.AccountKeys),
        "[recipients.NAME]": ("recipients.NAME", sections.RecipientSettings),
        "[[notify]]": ("notify", sections.Rule),
        "[[webhooks]]": ("webhooks", sections.WebhookSettings),
    }
    for title, (path, kind) in tables.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield from prose(kind.__doc__ or "")
        if path == "accounts.NAME":
            yield "`NAME` has 1 to 64 of a-z, 0-9 and the hyphen."
            yield "Beside these keys stand those of the channel's own `Settings`; its README lists them."
        if path == "plugins":
            yield "`[plugins.NAME]` holds the settings of the plugin `NAME`; its README lists them."
        notes = {one.name: one for one in attributes(kind)}
        for name, field in kind.model_fields.items():
            one = notes[name]
            yield ""
            yield f"### {path}.{name}"
            yield ""
            yield from sentences(_sentence(MEANINGS.get(f"{path}.{name}") or one.doc or one.note))
            yield ""
            yield f"- form: {_form(field.annotation, one.type)}"
            yield f"- default: {'none, it must be there' if field.is_required() else _default(field.default)}"


def templates() -> Iterator[str]:
    """Write the page of templates of notifications."""
    from talkwire.notify import templates as module

    yield "# Templates of notifications"
    yield ""
    yield "With this page you can write a file of the folder [`general.templates`](settings.md#generaltemplates)."
    yield "`offer.toml` in it is the template `offer`: rules name it by `template`, plugins by `Notify(template=...)`."
    yield "Every fault of every file is named by `talkwire check` with file and key, beside those of the settings."
    yield "A running daemon reads them again with its settings: `talkwire reload`."
    for title, kind, before in (
        ("Keys", module.TemplateTable, ""),
        ("A line of details", module.DetailTable, "details[]."),
        ("A button", module.ButtonTable, "buttons[]."),
    ):
        yield ""
        yield f"## {title}"
        notes = {one.name: one for one in attributes(kind)}
        for name, field in kind.model_fields.items():
            yield ""
            yield f"### {before}{name}"
            yield ""
            yield from sentences(_sentence(notes[name].doc))
            yield ""
            yield f"- default: {'none, it must be there' if field.is_required() else _default(field.default)}"
    yield ""
    yield "## Names"
    yield ""
    yield "Title, text and details may have names in braces, which are filled in."
    yield "A rule knows these: " + ", ".join(code("{" + name + "}") for name in module.KNOWN) + "."
    yield "A rule whose template wants another one is a fault; what a plugin gives no value for is left empty, and logged."
    yield "What is filled in is text: braces in it are not looked at again, and nothing in it is markup."
    yield ""
    yield "## The built-in ones"
    yield ""
    yield "A rule that names no template shows these."
    yield ""
    yield "| fact | style | English | Indonesian |"
    yield "|---|---|---|---|"
    for kind, looks in module.BUILT_IN.items():
        yield f"| `{kind}` | {looks['en'].style} | {looks['en'].title} | {looks['id'].title} |"


def reasons() -> Iterator[str]:
    """Write the page of the reasons for which a notification is not shown."""
    from talkwire.notify.why import REASONS

    yield "# Why a notification was not shown"
    yield ""
    yield "With this page you know what each reason of a decision means; `talkwire why` says them in these words."
    yield "A notifier may have words of its own beside these: its README lists them."
    yield ""
    yield "| reason | means |"
    yield "|---|---|"
    for reason, means in REASONS.items():
        yield f"| `{reason}` | {means} |"


MEANINGS = {  # goes before the comment beside the key, where that is for readers of the code
    "general.time_zone": "Where people's clock hangs: times on pages and in texts are shown in it",
    "general.language": "Language of texts that people read, such as those of `answer`; `en` and `id` are there",
    "general.give_up_after": "How long a part is tried again before it failed with `gave_up`; nothing: as each channel says",
    "store.url": (
        "The database: `sqlite:///FILE` for one daemon, `postgresql://USER@HOST/DATABASE` for several. "
        "A relative file lies beside `talkwire.toml`"
    ),
    "general.templates": (
        "The folder of [templates of notifications](templates.md); it need not be there. `NAME.toml` is the template `NAME`"
    ),
    "store.files": "Folder of attachments; on SQLite only, PostgreSQL keeps them in the database",
    "store.synchronous": (
        "SQLite only. `full` loses nothing that was acknowledged; `normal` may lose the last commits with the power"
    ),
    "server.listen": "Where providers, hosts and customers' browsers come in",
    "server.public_url": "This server as providers see it; webhook addresses and media links are made from it",
    "server.trusted_proxies": "Proxies whose `X-Forwarded-For` is believed",
    "server.body_limit": "Bytes of one webhook; a channel may ask for more",
    "server.upload_limit": "Bytes of one attachment that comes by the API",
    "server.key_rate": "Requests to the API of one key or session; more get 429 `rate_limited` with `Retry-After`",
    "server.address_rate": (
        "Requests to the API from one network address, whoever they are of; all of a /64 are one address in IPv6"
    ),
    "server.failure_rate": (
        "Wrong keys and sessions from one network address, and apart from them forged deliveries to `/in/`. "
        "Keys that were right before, and genuine deliveries, are taken from that address all the same"
    ),
    "admin.listen": "Where operators come in: health with reasons, the operator's page; keep it from the world",
    "admin.socket": "Where commands ask the running daemon; only its own user can open it",
    "log.format": "`console` for people, `json` for collectors",
    "log.level": "The least that is logged; nothing above debug is logged for each message",
    "retention.journal_days": "Days for which raw envelopes are kept; so long they can be replayed",
    "retention.log_days": "Days for which facts are kept; a reader that is behind by more is stopped",
    "retention.trace_days": "Days for which exchanges with providers are kept, for `talkwire trace`",
    "retention.messages_days": (
        "Days for which messages are kept, with their files and the notifications about them; nothing: for ever. "
        "Conversations and people stay"
    ),
    "retention.audit_days": "Days for which administrative acts are kept, for `talkwire audit`",
    "recipients.NAME.email": "Where mail for this recipient goes; empty: none",
    "recipients.NAME.media": "Media by which this recipient wants to be told; empty: what the rule says",
    "recipients.NAME.language": "Language of what this recipient reads; `en` and `id` are there; empty: the instance's",
    "recipients.NAME.quiet": (
        "Hours in which this recipient is not disturbed: `22:00-07:00`; empty: none. Alerts go through; a toast is not"
        " shown then, or waits for their end where its medium keeps what it shows, as mail does"
    ),
    "recipients.NAME.time_zone": "By which clock the quiet hours go: `Asia/Jakarta`; empty: `general.time_zone`",
    "accounts.NAME.channel": "Type of the channel; the plugin that gives it is switched on by this",
    "accounts.NAME.endpoint": (
        "Where its webhooks arrive, `/in/<endpoint>`; empty: the account's name. "
        "Several accounts of one channel may share one where the channel's features allow it"
    ),
    "accounts.NAME.when_closed": (
        "What becomes of a reply that cannot go out now: `reject` it, `hold` it until the customer writes again, or let"
        " it go out from another account, `fallback:NAME`; see [the how-to](../howto/fall-back.md). `template:NAME` holds it"
        " and sends a template of that name at once; see [windows](../howto/answer-after-the-window.md)"
    ),
    "plugins.enabled": "Plugins beside those that accounts and media name; their order is that of the shape hooks",
    "notify.on": (
        "Types of [facts](facts.md) that become notifications; a plugin's own are called `plugin.word`, and it has to"
        " be enabled; a type that nobody tells is a fault"
    ),
    "notify.accounts": "Accounts whose facts count; empty: all",
    "notify.to": "Recipients, by name",
    "notify.media": "Media to tell them by; empty: what each recipient wants",
    "notify.after": (
        "How long a toast waits first; it is not shown if the conversation is answered meanwhile, or if it was read"
        " elsewhere. Alerts, and alarms about accounts, queues, lanes, disks and readers, go at once"
    ),
    "notify.once": (
        "For so long further facts of one conversation join the notification that shows, unless that was read or"
        " answered: nothing new is shown; `0s`: each fact is shown"
    ),
    "notify.template": "How it looks: the name of a [template](templates.md); empty: as we ship it",
    "webhooks.name": (
        "What it is called by commands and in `webhook-id`; under another name it begins anew with the next fact"
    ),
    "webhooks.url": "Where facts are posted: `https://…`, or `http://…` within your own network; never shown whole",
    "webhooks.secrets": "Every one of them signs, so that one can be changed without a gap; each is `whsec_` and base64",
    "webhooks.types": "Types of [facts](facts.md) that the host is told; empty: all",
    "webhooks.accounts": "Accounts whose facts it is told; empty: all, and facts of no account",
    "webhooks.timeout": "How long the host has for one answer, at most `30s`",
}
_FORMS = {
    "Duration": "a duration",
    "QuietAfter": "a duration, or `off`",
    "Size": "a size, or a number of bytes",
    "HowOften": "how often, such as `20/m`, `100/s`, `5000/h`; all of it may come at once after a rest; `off`: no limit",
    "ListenAddress": "`host:port`; port 0 is any free one",
    "WhenClosed": "`reject`, `hold`, `template:NAME` or `fallback:NAME`",
    "SecretStr": "text, never shown",
    "QuietHours": "hours, such as `22:00-07:00`",
    "Path": "a path; a relative one lies beside the file",
    "str": "text",
    "int": "a whole number",
    "tuple[Network, ...]": "a list of networks or addresses",
    "tuple[str, ...]": "a list of texts",
    "tuple[SecretStr, ...]": "a list of texts, never shown",
}


def _form(annotation: Any, written: str) -> str:
    if written.startswith("Literal["):
        return " or ".join(f"`{getattr(one, 'value', one)}`" for one in annotation.__args__)
    inner = re.match(r"Annotated\[((?:[^\[\],]|\[[^\]]*\])+)", written)
    base = (inner[1] if inner else written).removesuffix(" | None")
    form = _FORMS[base]
    if least := re.search(r"ge=(\d+)", written):
        form += f", {least[1]} or more"
    if pattern := re.search(r"pattern='(.*?)'", written):
        form += f" that fits {code(pattern[1].replace(chr(92) * 2, chr(92)))}"
    return form + (", at least one" if "min_length=1" in written else "")


def _default(value: Any) -> str:
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, timedelta):
        return code(duration(value))
    if hasattr(value, "per"):  # a rate
        return code(f"{value.count}/{duration(value.per)[-1]}")
    if isinstance(value, int) and value >= 1024:
        return f"`{value // 1024**2} MiB`"
    if value is None:
        return "nothing"
    if value in ("", ()):
        return "empty"
    if isinstance(value, tuple):
        return code(":".join(map(str, value)))
    return code(str(getattr(value, "value", value)))


def duration(value: timedelta) -> str:
    """Write a duration as in settings."""
    seconds = int(value.total_seconds())
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:] if not text.startswith("`") else text
    return text if text.endswith(".") else f"{text}."


# --- errors --------------------------------------------------------------------------------------------


def errors() -> Iterator[str]:
    """Write the page of errors."""
    from talkwire import errors as tree

    drawing = (tree.__doc__ or "").partition("\n\n")[2].strip("\n")
    todo = {name: words for names, words in _drawn(drawing) for name in names}
    yield "# Errors"
    yield ""
    yield "With this page you know what to do about each error, and which one a channel or hook should raise."
    yield "An error is named for what the caller must do; its text is for a person and holds no secret."
    yield ""
    yield "```text"
    yield drawing
    yield "```"
    for name, kind in vars(tree).items():
        if not (inspect.isclass(kind) and issubclass(kind, tree.TalkwireError)):
            continue
        yield ""
        yield f"## {name}"
        yield ""
        yield from prose(kind.__doc__ or "")
        if name in todo:
            yield f"What to do: {todo[name].removeprefix('… ')}."
        parents = kind.__mro__[1]
        if parents is not Exception:
            yield f"It is a `{parents.__name__}`."
        import talkwire

        yield f"{'Import it from `talkwire`' if name in talkwire.__all__ else 'The core raises it; plugins do not'}."


def _drawn(drawing: str) -> Iterator[tuple[list[str], str]]:
    for line in drawing.splitlines():
        found = re.match(r"[│├└─ ]*([A-Z]\w+(?:, [A-Z]\w+)*)\s*(.*)$", line)
        if found and found[2]:
            yield found[1].split(", "), found[2]


# --- features and states -------------------------------------------------------------------------------


def features() -> Iterator[str]:
    """Write the page of features."""
    from talkwire import Features, MediaFeature, OptionFeature, Rate

    yield "# Features"
    yield ""
    yield "With this page you can say what your channel can do."
    yield "The API refuses, a composer offers and the renderer splits by nothing else than these values."
    yield (
        "`GET /api/v1/accounts/{name}/capabilities` serves them; a block's level is one of those in "
        "[states](states.md#level)."
    )
    for kind in (Features, MediaFeature, OptionFeature, Rate):
        yield ""
        yield f"## {kind.__name__}"
        yield ""
        yield from prose(kind.__doc__ or "")
        for one in attributes(kind):
            yield ""
            yield f"### {kind.__name__}.{one.name}"
            yield ""
            yield from sentences(_sentence(one.note or FEATURES.get(f"{kind.__name__}.{one.name}", "")))
            yield ""
            default = (
                "none, it must be given"
                if not one.default
                else code(re.sub(r"field\(.*=(\w+)\)", r"\1()", one.default))
            )
            yield f"- type: {code(one.type)}"
            yield f"- default: {default}"


FEATURES = {
    "Features.unit": "what the provider counts a text in",
    "Features.subject": "how a subject is carried",
    "Features.media": "families of files that the channel carries; none: files are refused",
    "Features.buttons": "how quick replies below a text are carried",
    "Features.lists": "how a list to choose from is carried",
    "Features.card": "how a card is carried",
    "Features.location": "how a point on the earth is carried",
    "Features.form_link": "how a form that opens elsewhere is carried",
    "Features.template": "how a text that the provider approved before is carried",
    "Features.reply_to": "how the reference to an earlier message is carried",
    "Features.rates": "how often the provider lets us send; each one is kept",
    "Features.send_timeout": "how long one attempt may take; after it the part is uncertain",
    "Features.give_up_after": "how long a part is tried again, before it failed with `gave_up`",
    "OptionFeature.title_limit": "characters of a title",
    "Rate.count": "how many",
    "Rate.per": "in how long",
}


def states() -> Iterator[str]:
    """Write the page of states."""
    from talkwire import AccountState, Level, Policy, SessionState, SessionStep, State
    from talkwire.model import AnswerCode

    yield "# States"
    yield ""
    yield "With this page you can read every state that the API, the pages and the log show."
    yield "How they move is told in [states, explained](../explanation/states.md)."
    yield ""
    yield "## State"
    yield ""
    yield from prose(State.__doc__ or "")
    yield "The state of a message is derived from those of its parts."
    for one in State:
        yield ""
        yield f"### {one.word}"
        yield ""
        yield PART_STATES[one.name]
        yield ""
        yield f"- rank: {int(one)}"
    for title, kind, words in (
        ("AccountState", AccountState, ACCOUNT_STATES),
        ("SessionState", SessionState, SESSION_STATES),
        ("SessionStep", SessionStep, {}),
        ("AnswerCode", AnswerCode, ANSWER_CODES),
        ("Policy", Policy, POLICIES),
        ("Level", Level, {"full": "as it was meant"}),
    ):
        notes = {one.name: one.note for one in attributes(kind)}
        yield ""
        yield f"## {title}"
        yield ""
        yield from prose(kind.__doc__ or "")
        yield ""
        rows = [(code(one.value), words.get(one.value) or notes[one.name] or STEPS.get(one.value, "")) for one in kind]
        yield from table(["value", "means"], rows)
    yield ""
    yield "## Reasons of queued"
    yield ""
    yield "A queued part says why it waits; pages show it as pending."
    yield ""
    yield from table(["value", "means"], ((code(name), words) for name, words in QUEUED.items()))
    yield ""
    yield "## Codes of a problem"
    yield ""
    yield "A part that failed has a `problem` with a code and a text; provider's codes come beside these."
    yield ""
    yield from table(["value", "means"], ((code(name), words) for name, words in PROBLEMS.items()))


PART_STATES = {
    "QUEUED": "Stored, not sent yet; `reason` says why.",
    "UNCERTAIN": (
        "An attempt began and its end is not known: the customer may have it.\n"
        "It is never silently sent again; a report, `reconcile` or a person (`talkwire settle`) says what became of it."
    ),
    "ACCEPTED": "The provider said that it will try.",
    "SENT": "The provider sent it.",
    "FAILED": "It will not arrive; `problem` says why.",
    "DELIVERED": "It reached the customer's device or mailbox.",
    "READ": "The customer saw it.",
}
ACCOUNT_STATES = {"starting": "its channel is being opened", "working": "it takes in and sends"}
SESSION_STATES = {
    "connected": "the customer is there",
    "disconnected": "the connection dropped; the customer may come back",
    "ended": "it is over; no answer is allowed",
}
STEPS = {
    "opened": "the customer came, or came back",
    "disconnected": "the connection dropped",
    "ended": "the session is over",
    "window_closed": "no answer is allowed any more",
}
ANSWER_CODES = {
    "session_ended": "the customer's session is over",
    "window_closed": "the time in which the provider allows answers is over",
    "account_broken": "the account cannot send until a person acts",
    "account_absent": "the account's plugin or its settings are gone",
    "address_unreachable": "the provider says that this address cannot be reached; ends when it writes again",
    "blocked": "somebody here blocked the address",
}
POLICIES = {
    "reject": "the reply is refused with 409 and the answer; nothing is stored as sent",
    "hold": "the reply is stored and waits until an answer is allowed again",
    "template": (
        "a text that the provider approved goes at once, and the reply is held; see"
        " [windows](../howto/answer-after-the-window.md)"
    ),
    "fallback": "it goes out from another account; see [where a reply falls back](../howto/fall-back.md)",
}
QUEUED = {
    "recipient_offline": "nobody is there to take it; sent when the customer comes back",
    "rate_limited": "the provider, or our own rate, says not yet",
    "provider_down": "the provider cannot be reached, or the account waits for a person",
    "window_closed": "held until the customer writes again",
    "session_ended": "held until the customer comes back",
    "address_unreachable": "held until the address writes again",
    "falls_back": "it could not go here any more, and is being written from another account",
}
PROBLEMS = {
    "refused": "the provider said no for ever; its own code stands here where it gives one",
    "gave_up": "tried for longer than `give_up_after`",
    "arrived": "it was to be sent once more, and then the provider said that it has arrived after all",
    "earlier_part": "an earlier part of the same message failed",
    "cancelled": "taken back before it was sent",
    "settled": "a person said that it failed",
    "fell_back": "it went on from another account; the text names it, and `reply.fell_back` the conversation",
    "session_ended": "it was queued when the session ended; so for the other values of AnswerCode",
}


# --- the hub -------------------------------------------------------------------------------------------


def hub() -> Iterator[str]:
    """Write the page of the hub and of transactions."""
    from talkwire import Hub, Query, Tx
    from talkwire import actions as asked

    yield "# Hub, transactions, actions"
    yield ""
    yield "With this page you can write hooks, routes and commands that read, write and reply."
    yield "Any hook, route handler or command with a parameter `hub` gets a `Hub`; a plain hook with `tx` gets a `Tx`."
    for kind, hidden in (
        (Hub, {"of"}),
        (Query, set()),
        (Tx, {"number_facts", "mark", "back_to", "told", "wakes", "hint"}),
    ):
        yield ""
        yield f"## {kind.__name__}"
        yield ""
        yield from prose(kind.__doc__ or "")
        for name, member in vars(kind).items():
            if name.startswith("_") or name in hidden or not _documented(member):
                continue
            yield ""
            yield f"### {kind.__name__}.{name}"
            yield ""
            yield from _described(name, member)
    yield ""
    yield "## Actions"
    yield ""
    yield "What an `on_` hook returns, alone or several, or asks for with `tx.act(…)`."
    for kind in asked._ACTIONS.values():  # noqa: SLF001  the table of all of them
        yield ""
        yield f"### {kind.__name__}"
        yield ""
        yield from prose(kind.__doc__ or "")
        yield ""
        yield from table(
            ["field", "default", "is"],
            ((code(one.name), code(one.default), one.note or FIELDS.get(one.name, "")) for one in attributes(kind)),
        )


FIELDS = {
    "draft": 'what is said; `talkwire.draft("Markdown")` makes one',
    "account": "name of the account",
    "signal": "`TypingSignal`, `ReadUpTo`, `Reaction` or `Acknowledge`",
    "recipient": "name in `[recipients.NAME]`",
    "title": "one line, plain text",
    "text": "plain text",
}


def _documented(member: Any) -> bool:
    target = member.fget if isinstance(member, property) else getattr(member, "func", member)
    return inspect.isroutine(target) and bool(target.__doc__)


def _described(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property):
        yield from prose(member.__doc__ or "")
        return
    target = inspect.unwrap(member)
    parameters = [str(one.replace(annotation=one.empty)) for one in inspect.signature(target).parameters.values()]
    star = ["*"] if any(one.kind is one.KEYWORD_ONLY for one in inspect.signature(target).parameters.values()) else []
    keywords = [
        str(one.replace(annotation=one.empty))
        for one in inspect.signature(target).parameters.values()
        if one.kind is one.KEYWORD_ONLY
    ]
    plain = [one for one in parameters if one not in keywords and one != "self"]
    awaited = "await " if inspect.iscoroutinefunction(target) else ""
    yield "```python"
    yield f"{awaited}{name}({', '.join([*plain, *star, *keywords])})"
    yield "```"
    yield ""
    yield from prose(target.__doc__ or "")


# --- the kit -------------------------------------------------------------------------------------------


def kit() -> Iterator[str]:
    """Write the page of the kit."""
    from talkwire.testing import case, conformance, counterparts, provider, stage, trial, visitors

    yield "# The conformance kit"
    yield ""
    yield "With this page you know what each of the twenty-three checks of a channel and the twenty of [a notifier](#notifiers) wants, and what to change when it fails."
    yield "A failure names the method, the sample, what happened and the remedy."
    yield "A check that has nothing to look at in your plugin is skipped, and says why."
    yield ""
    yield "```python"
    yield "from talkwire.testing import conformance_tests"
    yield ""
    yield "from .case import case"
    yield ""
    yield "test_conformance = conformance_tests(case)"
    yield "```"
    for number, check in enumerate(conformance.CHECKS, 1):
        name = getattr(check, "__name__", "").removeprefix("check_")
        yield ""
        yield f"## {name}"
        yield ""
        yield f"Check {number}: {inspect.getdoc(check)}"
        yield ""
        yield from (f"- remedy: {text}" for text in remedies(check))
    for kind in (case.Case, case.Sample, provider.Answers, visitors.Sessions):
        yield ""
        yield f"## {kind.__name__}"
        yield ""
        yield from prose(kind.__doc__ or "")
        yield ""
        rows = [(code(one.name), KIT.get(one.name) or one.note) for one in attributes(kind) if one.name != "_"]
        yield from table(["field", "is"], rows)
    yield ""
    yield "Whatever is looked at with these people, a check may also say:"
    yield ""
    said = [found for function in _functions(stage).values() for found in _remedies(function)]
    yield from (f"- remedy: {text}" for text in dict.fromkeys(text for _, text in sorted(said)))
    yield ""
    yield "## Visitor"
    yield ""
    yield from prose(visitors.Visitor.__doc__ or "")
    yield "[A channel with its own connection](../howto/own-connection.md) has one, whole."
    for name, member in vars(visitors.Visitor).items():
        if not name.startswith("_") and _documented(member):
            yield ""
            yield f"### Visitor.{name}"
            yield ""
            yield from _described(name, member)
    yield ""
    yield "## Steps of the fake provider"
    yield ""
    yield "`FakeProvider(answers)` is a real server on a free port of this machine; `will(…)` says what it does next."
    yield ""
    steps = [
        (name, inspect.getdoc(function) or "")
        for name, function in vars(provider).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and inspect.signature(function).return_annotation == "Step"
    ]
    yield from table(["step", "does"], ((code(f"{name}(…)"), text.splitlines()[0]) for name, text in steps))
    yield ""
    yield "## Notifiers"
    yield ""
    yield "`conformance_tests` takes a `NotifierCase`, too; [add a notifier](../howto/add-a-notifier.md) has one, whole."
    yield "What is looked at is what stands at the counterpart, as a person finds it, and what the notifier says of that."
    for number, check in enumerate(conformance.NOTIFIER_CHECKS, 1):
        name = getattr(check, "__name__", "").removeprefix("check_")
        if check in conformance.CHECKS or check.__module__.endswith("settings_hold"):
            continue
        yield ""
        yield f"### {name}"
        yield ""
        yield f"Check {number}: {inspect.getdoc(check)}"
        yield ""
        yield from (f"- remedy: {text}" for text in remedies(check))
    yield ""
    yield "Checks 1 and 2, of the settings, are those of channels."
    yield "Wherever something is delivered, a check may also say:"
    yield ""
    said = [found for function in _functions(trial).values() for found in _remedies(function)]
    yield from (f"- remedy: {text}" for text in dict.fromkeys(text for _, text in sorted(said)))
    for kind in (counterparts.NotifierCase, counterparts.Sight):
        yield ""
        yield f"### {kind.__name__}"
        yield ""
        yield from prose(kind.__doc__ or "")
        yield ""
        yield from table(
            ["field", "is"], ((code(one.name), NOTIFIER_KIT.get(one.name) or one.note) for one in attributes(kind))
        )
    for kind in (counterparts.Counterpart, counterparts.HttpCounterpart, trial.LentMedium):
        yield ""
        yield f"### {kind.__name__}"
        yield ""
        yield from prose(kind.__doc__ or "")
        yield ""
        methods = [(name, inspect.getdoc(one) or "") for name, one in vars(kind).items() if _documented(one)]
        rows = ((code(name), text.splitlines()[0]) for name, text in methods if not name.startswith("_"))
        yield from table(["method", "does"], rows)


NOTIFIER_KIT = {
    "notifier": "the class",
    "point_at": "(settings, counterpart) → settings for it; None: scheme and host of every URL setting are replaced",
}


KIT = {
    "channel": "the class",
    "sign": (
        "makes an envelope genuine as the provider does: adds the signature, the token, the peer's address; "
        "None: the channel takes no webhooks"
    ),
    "name": "how failures call it",
    "headers": "beside those that the body brings",
    "received_at": "when it came in",
    "query": "parameters of the URL",
    "remote": "the peer's address",
    "thread": "thread of what is sent",
    "last_inbound": "external id of the customer's last message",
    "accept": "(request, id the provider gives the part) → yes",
    "harmless": "answers requests that show nothing to the customer; None: this one may show something",
}


def remedies(check: Any) -> list[str]:
    """Collect the remedies that a check may name, with `…` where a value stands; not those of the stage."""
    own, online = sys.modules[check.__module__], sys.modules["talkwire.testing.online"]
    functions = _functions(online) | _functions(own)
    todo, seen, found = [check.__name__], set(), []
    while todo:
        name = todo.pop(0)
        if name in seen or name not in functions:
            continue
        seen.add(name)
        function = functions[name]
        found += [(name not in _functions(own), line, text) for line, text in _remedies(function)]
        todo += [n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return list(dict.fromkeys(text for *_, text in sorted(found)))


def _functions(module: ModuleType) -> dict[str, ast.AST]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _remedies(function: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            said = [one.value for one in node.keywords if one.arg == "remedy"]
            if isinstance(node.func, ast.Attribute) and node.func.attr == "failure":
                said.append(node.args[3])
            yield from ((node.lineno, text) for one in said for text in _texts(one, function))


def _texts(node: ast.expr, function: ast.AST) -> list[str]:
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values)]
    if isinstance(node, ast.Name):  # a local, or the last element of the rows that a loop goes through
        found = []
        for one in ast.walk(function):
            if isinstance(one, ast.Assign) and any(isinstance(t, ast.Name) and t.id == node.id for t in one.targets):
                found += _texts(one.value, function)
            elif node.id == "remedy" and isinstance(one, ast.Tuple) and len(one.elts) == 3:
                found += [e.value for e in one.elts[2:] if isinstance(e, ast.Constant) and " " in str(e.value)]
        return found
    return []


# --- the API -------------------------------------------------------------------------------------------


def api() -> Iterator[str]:
    """Write the page of the HTTP API."""
    from talkwire.api import api as made
    from talkwire.api.problems import CODES

    document = made.document()
    yield "# HTTP API"
    yield ""
    yield "With this page you can connect a helpdesk, a CRM or a bot."
    yield "`GET /api/v1/openapi.json` gives the same as OpenAPI 3.1, with every schema."
    yield "Each request says who asks: `Authorization: Bearer tw_…`, a key that `talkwire keys new` shows once."
    yield "Errors are RFC 9457 problems with a stable `code`."
    yield "Any operation may give 401 or 403 (your key), 500 and 503; they are not named again below."
    for path, operations in document["paths"].items():
        for method, said in operations.items():
            yield ""
            yield f"## {method.upper()} {path}"
            yield ""
            yield from prose(said["description"])
            if said["parameters"]:
                yield ""
                yield from table(
                    ["parameter", "in", "is"],
                    ((code(p["name"]), p["in"], _schema(p)) for p in said["parameters"]),
                )
            if "requestBody" in said:
                yield ""
                yield f"Body: {_reference(said['requestBody']['content'])}."
            yield ""
            for status, answer in said["responses"].items():
                if status in EVERYWHERE:
                    continue
                given = _reference(answer.get("content", {}))
                yield f"- {status}: {answer['description']}{f' ({given})' if given and status < '300' else ''}"
    yield ""
    yield "## Problems"
    yield ""
    yield from table(["code", "status", "means"], ((code(c), str(s), t) for c, (s, t) in CODES.items()))
    yield ""
    yield (
        "409 where no answer is allowed carries the `answer` object, and its `code` is one of those in "
        "[states](states.md#answercode)."
    )


EVERYWHERE = ("401", "403", "500", "503")


def _schema(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    words = schema.get("description", "")
    options = schema.get("enum")
    return " ".join(filter(None, [words, f"one of {', '.join(map(code, options))}" if options else ""]))


def _reference(content: dict[str, Any]) -> str:
    for kind, said in content.items():
        name = str(said.get("schema", {}).get("$ref", "")).rsplit("/", 1)[-1]
        return code(name) if name else code(kind)
    return ""


# --- commands ------------------------------------------------------------------------------------------


def cli() -> Iterator[str]:
    """Write the page of commands."""
    import typer.main

    from talkwire.cli import app

    root = typer.main.get_command(app)
    yield "# Commands"
    yield ""
    yield "With this page you can run, watch and repair an installation."
    yield "`talkwire COMMAND --help` says the same."
    yield from _commands(root, "talkwire")


def _commands(command: Any, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None or command.invoke_without_command:
        yield ""
        yield f"## {name}"
        yield ""
        yield from prose(command.help or command.short_help or "")
        rows = []
        for one in command.params:
            if one.name == "help":
                continue
            shown = (one.metavar or one.name.upper()) if one.param_type_name == "argument" else ", ".join(one.opts)
            rows.append((code(shown), getattr(one, "help", "") or ""))
        if rows:
            yield ""
            yield from table(["option", "is"], rows)
    for key, one in (inner or {}).items():
        if not one.hidden:
            yield from _commands(one, f"{name} {key}")


if __name__ == "__main__":
    sys.exit(main())
