"""How a draft becomes a mail: first what a person reads, then the bytes that go out."""

from .composing import File, Mail, compose
from .letter import Letter, letter_of
from .rendering import render

__all__ = ["File", "Letter", "Mail", "compose", "letter_of", "render"]
