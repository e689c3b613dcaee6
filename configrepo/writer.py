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
    if document.header:
        lines += ["!", *_comments(document.header), "!"]
    before: str | None = None
    for block in document.blocks:
        if before is not None and block.words[0] != before:
            lines.append("!")
        before = block.words[0]
        lines += _block_lines(block)
    if document.blocks:
        lines.append("!")
    if document.trailing:
        lines += [*_comments(document.trailing), "!"]
    lines.append("end\n")
    return "\n".join(lines)


def block_text(block: Block) -> str:
    """The text of one block with its comments before it, as its file holds it."""
    return "\n".join(_block_lines(block)) + "\n"


def _block_lines(block: Block) -> list[str]:
    lines = [*_comments(block.comments), block.text]
    for child in block.children:
        if child.comments:
            lines += _comments(child.comments, " ")
        lines.append(" " + child.text)
    return lines


def _comments(comments: tuple[str, ...], indent: str = "") -> list[str]:
    return [f"{indent}! {text}" for text in comments]
