"""Links from the words of a page to a glossary at its end.

The definitions are those of `glossary.md`, a page of the documentation.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from markupsafe import Markup, escape

_ROW = re.compile(r"\| (?P<names>[^|]+) \| (?P<meaning>[^|]+) \|")
# Backquotes and asterisks of Markdown, of which a definition has no others.
_EMPHASIS = re.compile(r"[`*]")


@dataclass(frozen=True)
class Term:
    """A term of the glossary."""

    names: tuple[str, ...]
    """Its names, the most usual first."""
    meaning: str
    """Its definition as plain text."""

    @property
    def anchor(self) -> str:
        """Id of its definition on a page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.names[0].lower())


@dataclass
class Glossary:
    """The glossary of one page, which lists the terms that the page uses."""

    _used: set[Term] = field(default_factory=set)
    _by_list: dict[str, set[Term]] = field(default_factory=dict)

    def link(self, text: str, list_name: str = "") -> Markup:
        """Return `text` as HTML with a link at the first occurrence of each term.

        Of the texts of one list, only the first with a term has the link.
        """
        linked = self._by_list.setdefault(list_name, set()) if list_name else set[Term]()
        pieces = []
        end = 0
        for match in _pattern().finditer(text):
            term = _by_name()[match["name"].lower()]
            if term in linked:
                continue
            linked.add(term)
            pieces += [escape(text[end : match.start()]), _anchor(term, match[0])]
            end = match.end()
        self._used |= linked
        return Markup("").join([*pieces, escape(text[end:])])

    @property
    def used(self) -> list[Term]:
        """The terms that were linked so far, in alphabetical order."""
        return [term for term in terms() if term in self._used]


@cache
def terms() -> tuple[Term, ...]:
    """Return all terms, in the order of `glossary.md`."""
    text = files("ablab.report").joinpath("glossary.md").read_text(encoding="utf-8")
    rows = list(_ROW.finditer(text))[2:]  # without the table's head
    return tuple(
        Term(tuple(row["names"].split(", ")), _EMPHASIS.sub("", row["meaning"])) for row in rows
    )


def _anchor(term: Term, text: str) -> Markup:
    return Markup('<a class="term" href="#{}" title="{}">{}</a>').format(
        term.anchor, term.meaning, text
    )


@cache
def _by_name() -> dict[str, Term]:
    return {name.lower(): term for term in terms() for name in term.names}


@cache
def _pattern() -> re.Pattern[str]:
    """Return a pattern of all names, also in the plural; longer names come first.

    A name is no part of a longer word, nor of a name such as `seed_fix`
    or `recipe.lr`.
    """
    names = sorted(_by_name(), key=len, reverse=True)
    either = "|".join(map(re.escape, names))
    return re.compile(rf"(?<![\w./-])(?P<name>{either})(?:e?s)?(?![\w/-]|\.\w)", re.IGNORECASE)
