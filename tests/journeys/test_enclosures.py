"""Files that lie in an envelope itself, and the whole of a letter beside what is new in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from talkwire import Drop, Enclosed, Media, Original, Text, hookimpl
from talkwire.lifecycle import persons
from talkwire.lifecycle.exporting import export
from talkwire.messages import enclosures
from tests.journeys.post_hub import ANN, SETTINGS, Letters, Posts

FILES = "SELECT id, account, message_id, name, media_type, size, cls, sha256, handle FROM attachment ORDER BY name, id"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)
NOTE = Enclosed(content=b"a note\n", name="../../note.txt", media_type="image/png")
LOGO = Enclosed(content=PNG, name="logo.png", media_type="text/html", content_id="logo@1")


async def bytes_of(letters: Letters, sha256: str) -> bytes:
    return b"".join([block async for block in letters.hub.daemon.files.open(sha256)])


async def contents(letters: Letters) -> int:
    """Count the contents that are stored, whether a row names them or not."""
    files, found, after = letters.hub.daemon.files, 0, ""
    while True:
        names, after = await files.walk(after)
        found += len(names)
        if not after:
            return found


async def test_what_is_enclosed_is_a_file_of_its_message_with_the_type_that_its_bytes_have(letters: Letters) -> None:
    await letters.wrote("a", blocks=(NOTE, LOGO))
    [message] = await letters.messages()
    [logo, note] = await letters.hub.rows(FILES)
    assert logo[1:7] == ("post", message.id, "logo.png", "image/png", len(PNG), "media")
    assert note[1:7] == ("post", message.id, "note.txt", "text/plain", 7, "file")
    assert await bytes_of(letters, note[7]) == b"a note\n"
    assert message.blocks == (Media(attachment=note[0]), Media(attachment=logo[0], content_id="logo@1"))
    assert await letters.hub.rows("SELECT kind FROM task WHERE kind = 'fetch'") == []


async def test_the_same_letter_again_and_a_replay_of_it_store_nothing_twice(letters: Letters) -> None:
    await letters.wrote("a", blocks=(NOTE, LOGO))
    await letters.wrote("a", blocks=(NOTE, LOGO))
    [envelope, _] = [row[0] for row in await letters.hub.rows("SELECT id FROM envelope ORDER BY id")]
    await letters.hub.daemon.intake.replay(envelope)
    assert len(await letters.hub.rows(FILES)) == 2
    assert await contents(letters) == 2


async def test_a_letter_that_cannot_be_stored_leaves_no_file_that_is_not_swept(letters: Letters) -> None:
    await letters.wrote("a", blocks=(NOTE, Media(attachment="not-there")))
    assert await letters.hub.rows(FILES) == []
    assert await contents(letters) == 1
    await letters.hub.pass_time(minutes=11)
    await letters.hub.daemon.purge.sweep()
    assert await contents(letters) == 0


async def test_of_a_letter_that_a_plugin_drops_no_file_is_stored(start_hub: Any) -> None:
    class Strict:
        @hookimpl
        def shape_inbound(self, message: Any) -> Any:
            return Drop("no letters today")

    settings = '[plugins]\nenabled = ["strict"]\n' + SETTINGS
    letters = Letters(await start_hub(settings, plugins={"post": Posts(), "strict": Strict()}))
    await letters.wrote("a", blocks=(NOTE,))
    assert await contents(letters) == 0


async def test_of_too_many_files_the_first_are_kept_and_the_rest_is_told(letters: Letters) -> None:
    many = tuple(Enclosed(content=b"x", name=f"{n:04}.txt") for n in range(120))
    await letters.wrote("a", blocks=many)
    [message] = await letters.messages()
    assert len(await letters.hub.rows(FILES)) == 100
    assert message.blocks[-1] == Text("20 more files came with it; they are in the raw message only.")


async def test_an_empty_file_is_a_file(letters: Letters) -> None:
    await letters.wrote("a", blocks=(Enclosed(content=b"", name=""),))
    [(_, _, _, name, media_type, size, *_)] = await letters.hub.rows(FILES)
    assert (name, media_type, size) == ("file", "application/octet-stream", 0)


async def test_the_whole_of_a_letter_is_kept_beside_what_is_new(letters: Letters) -> None:
    whole = Original(text="New\n> old", html="<p>New</p><blockquote>old</blockquote>")
    await letters.wrote("a", text="New", blocks=(whole,))
    [listed] = await letters.messages()
    found = await letters.hub.daemon.hub.message(listed.id)
    assert (found.text, found.blocks) == ("New", (whole,))  # type: ignore[union-attr]
    assert listed.blocks == (Original(),), "a list of five hundred would be as large as strangers like"


async def test_a_whole_that_is_too_large_keeps_the_beginning_of_its_text_and_no_half_page(letters: Letters) -> None:
    big = "x" * (enclosures.WHOLE + 1)
    await letters.wrote("a", blocks=(Original(text=big, html=big), Original(html=big)))
    found = await letters.hub.daemon.hub.message((await letters.messages())[0].id)
    assert found.blocks == (Original(text=big[:-1]),)  # type: ignore[union-attr]


async def test_the_export_has_the_whole(letters: Letters, tmp_path: Path) -> None:
    await letters.wrote("a", blocks=(Original(text="New\n> old"), NOTE))
    daemon = letters.hub.daemon
    person = await daemon.store.read(lambda query: persons.find(query, ANN))
    with (tmp_path / "ann.zip").open("w+b") as out:
        done = await export(daemon.store, daemon.files, daemon.plugins, person, out)
        with zipfile.ZipFile(out) as archive:
            [talk] = json.loads(archive.read("messages.json"))
    assert done.files == 1
    assert {"text": "New\n> old", "html": ""} in talk["messages"][0]["blocks"]


async def test_a_text_longer_than_any_list_should_hold_is_a_file_as_well(letters: Letters) -> None:
    text = "é" * (enclosures.LONGEST_TEXT + 1)
    await letters.wrote("a", text=text)
    await letters.wrote("b", "<a>", text=text[1:])
    first, second = await letters.messages()
    assert (first.text, second.text) == (text[1:], text[1:])
    [(_, _, message, name, media_type, _, _, sha256, _)] = await letters.hub.rows(FILES)
    assert (message, name, media_type) == (first.id, "message.txt", "text/plain")
    assert (await bytes_of(letters, sha256)).decode() == text


async def test_a_file_that_is_none_costs_its_own_letter_only(letters: Letters) -> None:
    """A fault of a channel: a listener would bring the same batch for ever."""
    await letters.comes(
        letters.letter("a"), letters.letter("b", blocks=(Enclosed(content="text"),)), letters.letter("c")  # type: ignore[arg-type]
    )  # fmt: skip
    assert {text for texts in (await letters.talks()).values() for text in texts} == {"a", "c"}
    [(unread,)] = await letters.hub.rows("SELECT unread FROM envelope")
    assert "TypeError while its files were stored" in unread
