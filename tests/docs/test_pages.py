"""The pages: their links lead somewhere, their words are ours, each snippet is executed (in tests/stranger) or included."""

import os
import re

import pytest

from talkwire.cli.scaffold import make
from talkwire.testing import CHECKS, NOTIFIER_CHECKS
from tests.docs.pages import ROOT, PageFailed, Reader, blocks

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(
    not DOCS.is_dir(), reason="looks at the checkout's own files; this is a copy of the tests"
)
OURS = [ROOT / "README.md", *(p for p in sorted(DOCS.rglob("*.md")) if p.parent.name not in {"proof", "screens"})]
BY_HAND = [p for p in OURS if "Made by tools/reference.py" not in p.read_text()[:100]] if DOCS.is_dir() else []
HOWTOS = sorted((DOCS / "howto").glob("*.md"))
BANNED = re.compile(r"\b(simply|just|robust(ly)?)\b", re.IGNORECASE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page):
    return str(page.relative_to(ROOT))


def prose_of(text):
    """Take out what is code: fences, and what stands in backticks."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text):
    """Give the anchors of a page, as GitHub makes them of its headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page, text):
    """Name the links of a page that lead nowhere."""
    for target in LINK.findall(prose_of(text)):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(text if file == page else file.read_text())):
            yield target


def words_of_the_makefile():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("doc", OURS, ids=name_of)
def test_every_link_leads_somewhere(doc):
    assert list(broken_links(doc, doc.read_text())) == []


@pytest.mark.parametrize("doc", OURS, ids=name_of)
def test_no_page_has_a_word_that_says_nothing(doc):
    assert [found[0] for found in BANNED.finditer(prose_of(doc.read_text()))] == []


@pytest.mark.parametrize("doc", BY_HAND, ids=name_of)
def test_a_page_has_one_sentence_a_line(doc):
    two = [line for line in prose_of(doc.read_text()).splitlines() if re.search(r"[a-z)][.!?] [A-Z]", line)]
    assert [line for line in two if not line.startswith(("|", "<"))] == []


@pytest.mark.parametrize("doc", BY_HAND, ids=name_of)
def test_a_page_begins_with_what_its_reader_has_at_its_end(doc):
    text = doc.read_text()
    assert text.startswith("# ")
    begin = text.split("\n", 6)[2]
    if doc.parent != ROOT:
        assert re.match(r"(With this page|At the end of this page) ", begin), begin


@pytest.mark.parametrize("doc", BY_HAND, ids=name_of)
def test_every_snippet_is_executed_or_stands_in_a_file(doc, tmp_path):
    executed = doc in HOWTOS or doc.parent.name == "tutorial"
    for block in blocks(doc.read_text()):
        order, _, path = block.order.partition(" ")
        where = f"{name_of(doc)}:{block.line}"
        if order == "from":
            assert block.text.strip() in (ROOT / path).read_text(), where
        elif order == "scaffold":
            if not (tmp_path / "talkwire-acme").exists():
                make("acme", "webhook", tmp_path)
            assert block.text.strip() in (tmp_path / "talkwire-acme" / path).read_text(), where
        elif order == "":
            assert block.kind == "text", f"{where}: say above it what a test does with it"
        else:
            assert executed, f"{where}: nobody executes this page"


def test_the_readme_names_only_commands_that_there_are():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert {"demo", "test"} <= named <= words_of_the_makefile()
    assert all(
        (ROOT / path).exists() for path in re.findall(r"`((?:core|docs|examples|tests|tools|plugins)/[^`]*)`", text)
    )


@pytest.mark.parametrize(("kind", "checks"), [("webhook", CHECKS), ("poll", CHECKS), ("notifier", NOTIFIER_CHECKS)])
def test_a_new_plugin_counts_the_checks_of_its_kit_as_they_are(kind, checks, tmp_path):
    written = [file.read_text() for file in make("acme", kind, tmp_path)]
    counted = [word for text in written for word in re.findall(r"([a-z-]+) checks\b", text)]
    assert counted == [{20: "twenty", 23: "twenty-three"}[len(checks)]] * 2  # in README.md, and in the test


@pytest.mark.parametrize("doc", ["tutorial/channel.md", "howto/install-on-a-vm.md"])
def test_a_page_that_begins_with_an_installation_says_how_from_a_checkout(doc):
    text = (DOCS / doc).read_text()
    assert "pip install" in text
    assert "make dist" in text
    assert "--find-links" in text


# --- these tests are tested -------------------------------------------------------------------------------


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title\n\n[a](#a-title) [b](#b) [c](page.md) [d](other.md) `[e](e.md)`\n")
    assert list(broken_links(page, page.read_text())) == ["#b", "other.md"]


def page_with(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    return page


def test_a_command_that_fails_fails_its_page(tmp_path):
    page = page_with(tmp_path, "a\n\n<!-- run -->\n```bash\necho well\nfalse\ntrue\n```\n")
    with pytest.raises(PageFailed, match=r"page.md:4: ended with 1 instead of 0"):
        Reader(tmp_path, {"PATH": os.environ["PATH"]}).read(page)


def test_what_was_not_printed_fails_its_page(tmp_path):
    page = page_with(tmp_path, "<!-- run -->\n```bash\necho b; echo a\n```\n<!-- shows -->\n```text\na\nb\n```\n")
    with pytest.raises(PageFailed, match="'b'"):
        Reader(tmp_path, {"PATH": os.environ["PATH"]}).read(page)


def test_an_order_that_nobody_knows_fails_its_page(tmp_path):
    page = page_with(tmp_path, "<!-- rum -->\n```bash\ntrue\n```\n")
    with pytest.raises(PageFailed, match="nobody knows"):
        Reader(tmp_path, {"PATH": os.environ["PATH"]}).read(page)


def test_folders_and_variables_live_from_block_to_block(tmp_path):
    text = "<!-- run -->\n```bash\nmkdir a; cd a; export B=c\n```\n<!-- file d -->\n```text\ne\n```\n"
    text += "<!-- run -->\n```bash\necho $B $(cat d)\n```\n<!-- shows -->\n```text\nc e\n```\n"
    Reader(tmp_path, {"PATH": os.environ["PATH"]}).read(page_with(tmp_path, text))
    assert (tmp_path / "a" / "d").read_text() == "e\n"


# --- what a page gives to other programs ------------------------------------------------------------------


def test_the_alerts_name_only_metrics_that_there_are():
    import yaml

    from talkwire.api.metrics import FAMILIES

    page = (DOCS / "howto" / "monitor.md").read_text()
    files = {block.order: yaml.safe_load(block.text) for block in blocks(page) if block.kind == "yaml"}
    assert files["file prometheus.yml"]["scrape_configs"][0]["job_name"] == "talkwire"
    [group] = files["file talkwire-alerts.yml"]["groups"]
    assert len(group["rules"]) == 5
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "annotations"}
        named = set(re.findall(r"talkwire_\w+", rule["expr"]))
        assert named, rule["alert"]
        assert named <= {family.name for family in FAMILIES}
