"""Breaking one piece of a source on purpose: every table of mutations (Python and C) names its
pieces as this module finds them.

A piece is found by its tokens: line breaks, indentation, comments, and a comma before a closing
bracket say nothing, so that a table outlives a formatter. Whatever is not there exactly once is an
error: then look for what the test protects now."""

import re

_WORDS = r"""| [rbf]{0,2}(?:\"\"\".*?\"\"\"|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\') | \w+ | ."""
_PYTHON = re.compile(r"(?P<skip>\s+|\#[^\n]*|\\\n)" + _WORDS, re.VERBOSE | re.DOTALL)
_C = re.compile(r"(?P<skip>\s+|//[^\n]*|\\\n)" + _WORDS, re.VERBOSE | re.DOTALL)


def _tokens(text, c):
    """Return [(token, start, end)] of a source in Python or C, or of a piece of one."""
    out = []
    for match in (_C if c else _PYTHON).finditer(text):
        if match["skip"] is None:
            if match[0] in ")]}" and out and out[-1][0] == ",":
                out.pop()
            out.append((match[0], *match.span()))
    return out


def find(source, piece, c=False):
    """Return [(start, end)] of the places in a source where a piece stands. c: in C, not in
    Python."""
    tokens, wanted = _tokens(source, c), [each[0] for each in _tokens(piece, c)]
    words = [each[0] for each in tokens]
    count = len(wanted)
    return [
        (tokens[i][1], tokens[i + count - 1][2])
        for i in range(len(tokens) - count + 1)
        if words[i : i + count] == wanted
    ]


def mutate(source, old, new, where="", c=False):
    """Return the source with the piece `old` replaced by `new`, whose lines are indented like the
    piece if its first one is indented.

    AssertionError if `old` does not stand in it exactly once, or says nothing. where: what the
    source is, for that error."""
    assert _tokens(old, c), "%s: nothing is named that could be replaced" % where
    places = find(source, old, c)
    assert len(places) == 1, "%s has this %d times, not once: mend the mutation\n%s" % (
        where or "the source",
        len(places),
        old,
    )
    start, end = places[0]
    column = start - source.rfind("\n", 0, start) - 1
    first, *rest = new.strip("\n").split("\n")
    base = len(first) - len(first.lstrip())
    if base:
        rest = [
            " " * (len(each) - len(each.lstrip()) - base + column) + each.lstrip() for each in rest
        ]
    return source[:start] + "\n".join([first.strip(), *rest]) + source[end:]
