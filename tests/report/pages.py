"""The text of pages whose terms are links to a glossary."""

import re

_TERM = re.compile(r'<a class="term"[^>]*>(.*?)</a>')


def without_term_links(page: str) -> str:
    """The page as it would be without its glossary's links."""
    return _TERM.sub(r"\1", page)
