"""A draft as a person will read it in a mail: plain text, with its subject, its quote and its signature.

The core writes the blocks as text. What it must not read as Markdown (the values of a template, a mail that is passed on)
stands in that text as a mark of its own until it is done.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from talkwire import (
    Address,
    Block,
    Card,
    Degradation,
    Direction,
    Draft,
    Features,
    Forward,
    Level,
    Media,
    Message,
    Part,
    RenderContext,
    Rendered,
    Template,
    Text,
    Unsupported,
)
from talkwire import render as as_text

from ..addresses import mailbox
from ..settings import EmailSettings
from .cleaning import clean, one_line
from .flowed import SIGNATURE
from .letter import Letter, first_line
from .quoting import as_mail_quotes, passed_on, quote
from .templates import filled, template_of
from .words import Words, words_of

FILES_LIMIT = 18 * 1024**2  # bytes of all files of one mail: base64 makes 25 MB of them, the limit of large providers
_SUBJECT_LIMIT = 500  # characters
_TEXT = Features(subject=Level.FULL, reply_to=Level.FULL, parts=1)  # one plain text of all blocks, however long
_ANSWERED = re.compile(r"(?:(?:re|aw|antw|sv|bls|balas)(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)
_PASSED_ON = re.compile(r"(?:(?:fwd?|wg|tr|trs)\s*:\s*)+", re.IGNORECASE)


def render(draft: Draft, context: RenderContext, settings: EmailSettings) -> Rendered:
    """Write a draft as one plain text, `Part.text`, exactly as it goes out; the rest of the mail is in `Part.payload`.

    Errors: `Unsupported` for a block that has no text form, an unknown template, files that are too large together, an
    address that is none, or an empty draft.
    """
    _check_addresses(draft, context)
    writing = _Writing(draft, context, settings)
    blocks = tuple(writing.take(position, block) for position, block in enumerate(draft.blocks))
    rendered = as_text(replace(draft, blocks=(*blocks, Text(writing.end))), _TEXT, context)
    body = writing.whole(rendered.parts[0].text)
    subject = writing.subject(body)
    answered = context.last_inbound
    letter = Letter(
        subject=subject,
        to=answered.answer_at if answered is not None else "",
        cc=draft.cc,
        attachments=tuple(writing.files),
    )
    text = "\n\n".join(filter(None, (body, writing.signature(), writing.quote())))
    losses = sorted(dict.fromkeys((*rendered.degradations, *writing.degradations)), key=lambda loss: loss.block)
    return Rendered((Part(text=text, payload=letter.payload()),), tuple(losses))


def _check_addresses(draft: Draft, context: RenderContext) -> None:
    for kind, values in (("to", (context.address.value,)), ("cc", draft.cc), ("bcc", draft.bcc)):
        for value in values:
            if mailbox(value) is None:
                raise Unsupported(f"{value!r} is no e-mail address", kind=kind)


class _Writing:
    """One draft on its way to be text."""

    def __init__(self, draft: Draft, context: RenderContext, settings: EmailSettings) -> None:
        self._draft, self._context, self._settings = draft, context, settings
        self._words: Words = words_of(context.language)
        self._mark = hashlib.sha256(repr((draft, settings.templates)).encode()).hexdigest()[:16]  # in none of the texts
        self._meant: list[str] = []  # what stands behind each mark
        self._subject = ""  # of a template
        self.end = self._marked("")
        self.files: dict[str, int] = {}  # id → bytes
        self.degradations: list[Degradation] = []

    # --- blocks ---

    def take(self, position: int, block: Block) -> Block:
        """Give a block in the form that the core writes as text."""
        match block:
            case Media(attachment=file, caption=caption):
                self._enclose(position, file)
                if caption:
                    self._note(position, "caption_in_text", "The caption stands in the text, the file is attached.")
                return Text(caption)
            case Card(image=file) if file:
                self._enclose(position, file)
                self._note(position, "picture_attached", "The card's picture is attached.")
                return replace(block, image="")
            case Template():
                return Text(self._template(position, block))
            case Forward(message=id_):
                message = self._context.forwarded.get(id_)
                if message is None:
                    raise self._refusal(position, "the message that is passed on is not here")
                for inner in message.blocks:
                    if isinstance(inner, Media):
                        self._enclose(position, inner.attachment)
                return Text(self._marked(passed_on(message, self._writer(message), self._words)))
            case _:
                return block

    def _writer(self, message: Message) -> Address | None:
        if message.direction is Direction.OUT and message.account == self._context.account:
            return Address(kind="email", value=self._settings.address, name=self._settings.name)
        return self._context.senders.get(message.id)

    def _template(self, position: int, block: Template) -> str:
        language = self._context.language
        found = template_of(block, self._settings.templates, language=language, position=position)
        values = dict(enumerate(block.values, 1))
        if found.subject:
            self._subject = self._subject or filled(found.subject, values)
        return filled(found.text, {number: self._marked(value) for number, value in values.items()})

    def _enclose(self, position: int, file: str) -> None:
        attachment = self._context.attachments.get(file)
        if attachment is None:
            raise self._refusal(position, f"the attachment {file} is not in our store")
        self.files[file] = attachment.size
        if (total := sum(self.files.values())) > FILES_LIMIT:
            raise self._refusal(
                position, f"the files have {total:,} bytes together, one mail takes {FILES_LIMIT:,}; send fewer at once"
            )

    def _marked(self, meant: str) -> str:
        self._meant.append(meant)
        return f"{self._mark}x{len(self._meant) - 1}x"

    def _note(self, position: int, what: str, text: str) -> None:
        self.degradations.append(Degradation(block=position, what=what, text=text))

    def _refusal(self, position: int, text: str) -> Unsupported:
        return Unsupported(f"Block {position + 1} cannot be sent: {text}.", block=position)

    # --- text ---

    def whole(self, written: str) -> str:
        """Put in what the marks stand for; a mail of files alone says what they are."""
        text = written.removesuffix(self.end).rstrip("\n")
        text = as_mail_quotes(text)
        body = clean("\n".join(self._meaning(line) for line in text.split("\n"))).strip("\n")
        if body.strip():
            return body
        if not self.files:
            raise Unsupported("there is nothing to send")
        names = ", ".join(self._context.attachments[file].name or file for file in self.files)
        return f"{self._words.attached}: {names}"

    def _meaning(self, line: str) -> str:
        if self._mark not in line:
            return line
        head = line[: len(line) - len(line.lstrip("> "))]  # what has lines of its own stays in its quote, its list
        return re.sub(
            f"{self._mark}x([0-9]+)x", lambda found: self._meant[int(found[1])].replace("\n", f"\n{head}"), line
        )

    def subject(self, body: str) -> str:
        """Choose the subject: the draft's, the template's, the conversation's, or one that fits."""
        context = self._context
        chosen = one_line(self._draft.subject) or one_line(self._subject)
        if not chosen and (passed := self._forwarded_subject()) is not None:
            chosen = f"Fwd: {passed}" if passed else ""
        elif not chosen:
            known = one_line(context.subject)
            if context.last_inbound is None:
                chosen = known
            else:
                chosen = f"Re: {_ANSWERED.sub('', known, count=1) or self._words.your_message}"
        if not chosen:
            said = self._settings.name or self._settings.address
            chosen = one_line(first_line(body)) if not self._is_files_alone() else ""
            chosen = chosen or self._words.message_from.format(who=said)
        if len(chosen) > _SUBJECT_LIMIT:
            self.degradations.append(
                Degradation(
                    block=0, what="subject_cut", text=f"The subject is cut to {_SUBJECT_LIMIT} characters.", lost=True
                )
            )
        return chosen[:_SUBJECT_LIMIT]

    def _forwarded_subject(self) -> str | None:
        for block in self._draft.blocks:
            if isinstance(block, Forward):
                passed = self._context.forwarded[block.message]
                return _PASSED_ON.sub("", one_line(passed.subject), count=1) or one_line(first_line(passed.text))
        return None

    def _is_files_alone(self) -> bool:
        return all(isinstance(block, Media) and not block.caption for block in self._draft.blocks)

    def signature(self) -> str:
        """Give the signature below its line."""
        said = clean(self._settings.signature).strip("\n")
        return f"{SIGNATURE}\n{said}" if said else ""

    def quote(self) -> str:
        """Give what is answered; a machine's answer and what is passed on quote nothing."""
        answered, draft = self._context.last_inbound, self._draft
        if self._settings.quote == "none" or answered is None or self._context.automatic:
            return ""
        if draft.reply_to not in ("", answered.id) or any(isinstance(block, Forward) for block in draft.blocks):
            return ""
        return clean(quote(answered, self._context.address, self._words)) if answered.text.strip() else ""
