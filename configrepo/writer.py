"""Writing a configuration: the canonical text of a document and of one block.

Table order and normal spelling come with the document; this module decides indent,
separators and where comments stand. `read(canonical_text(d))` gives `d` again.

Pure.
"""

from __future__ import annotations

from configrepo.model import Block, Document


def canonical_text(document: Document) -> str:
    """The text of a whole configuration, as it is saved; ends with `end`."""
    lines: list[str] = []
    before: str | None = None
    for block in document.blocks:
        if before is not None and block.words[0] != before:
            lines.append("!")
        before = block.words[0]
        lines += _block_lines(block)
    lines.append(ending(document, any_block=bool(document.blocks)))
    return heading(document) + "\n".join(lines)


def heading(document: Document) -> str:
    """What stands before the first block."""
    return _text("!", *_comments(document.header), "!") if document.header else ""


def ending(document: Document, *, any_block: bool) -> str:
    """What stands behind the last block, if there is any; ends with `end`."""
    trailing = (*_comments(document.trailing), "!") if document.trailing else ()
    return _text(*(("!",) if any_block else ()), *trailing, "end")


def _text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def block_text(block: Block) -> str:
    """The text of one block with its comments before it, as its file holds it."""
    return _text(*_block_lines(block))


def _block_lines(block: Block) -> list[str]:
    lines = [*_comments(block.comments), block.text]
    for child in block.children:
        if child.comments:
            lines += _comments(child.comments, " ")
        lines.append(" " + child.text)
    return lines


def _comments(comments: tuple[str, ...], indent: str = "") -> list[str]:
    return [f"{indent}! {text}" for text in comments]
