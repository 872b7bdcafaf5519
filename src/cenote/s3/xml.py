"""XML in and out: a small tree from untrusted bytes, and escaped text.

Owns: the limits on documents, the refusal of what S3's documents never contain, escaping.
Does not own: which elements mean what (`parse`, `render`).

Invariants:
1. A document type, and with it every entity, is refused before anything is expanded.
2. Depth is bounded by DEPTH_MAX, elements by ELEMENTS_MAX and size by XML_BYTES_MAX, and so is
   the memory a document takes; time grows no faster than its size.
3. The bytes are UTF-8, whatever the declaration says.

Why expat and not a tree library: 1000 keys read in two milliseconds without another dependency, and
the handler that refuses a document type is one line.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from cenote.s3.codes import S3Error

__all__ = ["DEPTH_MAX", "NAMESPACE", "XML_BYTES_MAX", "Node", "escape", "read_document"]

XML_BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 12
ELEMENTS_MAX = 120_000  # 10,000 parts with all their members, and room
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# What clients send: S3's own, the same without its slash or over https, and none.
_NAMESPACES = frozenset(
    scheme + "://s3.amazonaws.com/doc/2006-03-01" + slash
    for scheme in ("http", "https")
    for slash in ("", "/")
)

# Besides markup: what a parser would change (CR) and what XML 1.0 has no way to say at all.
_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """Return `text` as element content. Characters XML lacks become references, as S3 writes them.

    A parser that keeps to XML 1.0 refuses those references; encoding-type=url exists for that.
    """
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    char = match.group()
    return _NAMED.get(char) or f"&#x{ord(char):x};"


class Node:
    """An element: its local name, its text, and the elements in it.

    An element that has elements in it keeps no text: S3's documents have none there.
    """

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Node] = []


class _Reader:
    def __init__(self) -> None:
        self.root: Node | None = None
        self._stack: list[Node] = []
        self._text: list[str] = []
        self._count = 0

    def start(self, name: str, _attributes: object) -> None:
        namespace, _, local = name.rpartition("}")
        self._count += 1
        if (
            (namespace and namespace not in _NAMESPACES)
            or len(self._stack) >= DEPTH_MAX
            or self._count > ELEMENTS_MAX
        ):
            raise S3Error("MalformedXML")
        node = Node(local)
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self.root = node
        self._stack.append(node)
        self._text.clear()

    def end(self, _name: str) -> None:
        node = self._stack.pop()
        if not node.children:
            node.text = "".join(self._text)
        self._text.clear()

    def text(self, text: str) -> None:
        self._text.append(text)


def _refuse(*_args: object) -> None:
    raise S3Error("MalformedXML")


def read_document(body: bytes) -> Node:
    """Return the root of the document in `body`.

    Attributes, comments, processing instructions and text between elements are passed over.
    Raises S3Error: MaxMessageLengthExceeded above XML_BYTES_MAX, MalformedXML for all else.
    Cost: about 2 µs an element.
    """
    if len(body) > XML_BYTES_MAX:
        raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=XML_BYTES_MAX)
    if b"\x00" in body:  # UTF-16 and UTF-32, which expat would believe against our word
        raise S3Error("MalformedXML")
    parser = expat.ParserCreate("utf-8", namespace_separator="}")
    parser.buffer_text = True
    reader = _Reader()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        raise S3Error("MalformedXML") from None
    if reader.root is None:
        raise S3Error("MalformedXML")
    return reader.root
