"""Words and pictures of a study: sentences, terminal, HTML, Markdown.

Computes no numbers: those come from `analysis`. May import `models` and the packages below it.
"""
