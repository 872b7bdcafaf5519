"""Which operation a request asks for.

Owns: matching of method, target, query and telling headers to a row of the table; the refusal of
whatever matches none.
Does not own: the rows (`ops`), the members' values (`parse`), the signature (`sigv4`).

Invariants:
1. A request reaches an operation only when every sub-resource it names belongs to that operation.
2. On PUT, POST and DELETE every query parameter must be one the operation reads, or the
   signature's: an unknown word never falls through to Put or Delete.
3. On GET and HEAD unknown words are ignored, as S3 does, but never those that name a sub-resource
   of any operation.

Why a table of words and not patterns: S3 grows a few sub-resources a year, and a router that sends
what it does not know to the plain handler turns `PUT key?newThing` into an overwritten object.
"""

from __future__ import annotations

from collections.abc import Mapping

from cenote.s3.codes import S3Error
from cenote.s3.headers import check_repeated
from cenote.s3.ops import OPS, Op, Route
from cenote.s3.query import SIGNATURE_PARAMETERS, brings_header, read_query
from cenote.s3.shapes import Header, Query, places
from cenote.s3.uri import split_path
from cenote.s3.wire import RequestHead

__all__ = ["resolve"]

_CHANGING = frozenset({"PUT", "POST", "DELETE"})
_READING = frozenset({"GET", "HEAD"})
_OBJECT_LAMBDA = b"/WriteGetObjectResponse"
_RESPONSE_OVERRIDES = frozenset(
    member.place.wire
    for member in places(OPS["GetObject"].input)
    if isinstance(member.place, Query) and member.place.wire.startswith("response-")
)
_ALWAYS = SIGNATURE_PARAMETERS | _RESPONSE_OVERRIDES | {"x-id"}


class _Table:
    """The operations of one method and target."""

    __slots__ = ("only", "plain", "words")

    def __init__(self) -> None:
        self.plain: list[Op] = []
        self.words: dict[str, list[Op]] = {}
        # The one plain operation, where neither a parameter nor a header can ask for another.
        self.only: Op | None = None

    def add(self, op: Op) -> None:
        row = self.words.setdefault(op.query[0][0], []) if op.query else self.plain
        # Later rows replace earlier ones they cannot be told from; the most telling come first.
        row[:] = [other for other in row if (other.query, other.header) != (op.query, op.header)]
        row.append(op)
        row.sort(key=lambda each: (len(each.query), each.header is not None), reverse=True)
        alone = len(self.plain) == 1 and self.plain[0].header is None
        self.only = self.plain[0] if alone else None


def _index() -> dict[tuple[str, str], _Table]:
    index: dict[tuple[str, str], _Table] = {}
    for op in OPS.values():
        # These two are told by host or path, not by query: see `resolve`.
        if op.name not in ("ListDirectoryBuckets", "WriteGetObjectResponse"):
            index.setdefault((op.method, op.target), _Table()).add(op)
    return index


_INDEX = _index()
_WORDS = frozenset(word for table in _INDEX.values() for word in table.words)
_READ_QUERY: dict[str, frozenset[str]] = {
    op.name: frozenset(
        [name for name, _ in op.query]
        + [m.place.wire for m in places(op.input) if isinstance(m.place, Query)]
    )
    for op in OPS.values()
}
_READ_HEADERS: dict[str, frozenset[str]] = {
    op.name: frozenset(
        m.place.wire.lower() for m in places(op.input) if isinstance(m.place, Header)
    )
    for op in OPS.values()
}


def resolve(head: RequestHead, host_bucket: str | None = None) -> Route:
    """Return the operation, bucket and key that `head` asks for.

    `host_bucket` is the bucket the Host header names, when it names one.
    Raises S3Error: NotImplemented for operations without a hand to do them and for unknown
    sub-resources; MethodNotAllowed; InvalidArgument for words that exclude each other or come
    twice; InvalidURI, InvalidBucketName, KeyTooLongError for paths.
    """
    if head.path == _OBJECT_LAMBDA and head.method == "POST" and host_bucket is None:
        raise _not_implemented(OPS["WriteGetObjectResponse"])
    bucket, key = split_path(head.path, host_bucket)
    target = "service" if bucket is None else "bucket" if key is None else "object"
    params = read_query(head.query) if head.query else {}
    table = _INDEX.get((head.method, target))
    if table is None:
        raise _no_method(head.method, target)
    if (
        key is not None
        and table.only is not None
        and head.method in _READING
        and _WORDS.isdisjoint(params)
    ):
        op = table.only
    elif params:
        op = _by_words(table, head, params, target)
    else:
        op = _first(table.plain, head.headers, params, head.method, target)
    if head.repeated:
        check_repeated(head.repeated, _READ_HEADERS[op.name])
    if not op.implemented:
        raise _not_implemented(op)
    return Route(op, bucket, key, params)


def _by_words(table: _Table, head: RequestHead, params: dict[str, str], target: str) -> Op:
    words = [name for name in params if name in _WORDS]
    if len(words) > 1:
        raise S3Error(
            "InvalidArgument",
            f"Conflicting query string parameters: {', '.join(sorted(words))}",
            ArgumentName="ResourceType",
            ArgumentValue=sorted(words)[0],
        )
    if not words:
        if "max-directory-buckets" in params and target == "service":
            raise _not_implemented(OPS["ListDirectoryBuckets"])
        op = _first(table.plain, head.headers, params, head.method, target)
    elif words[0] in table.words:
        op = _first(table.words[words[0]], head.headers, params, head.method, target)
    else:
        raise _no_method(head.method, target, words[0])
    if head.method in _CHANGING:
        _check_parameters(op, params)
    return op


def _first(
    rows: list[Op],
    headers: Mapping[str, str],
    params: Mapping[str, str],
    method: str,
    target: str,
) -> Op:
    """Return the most telling of `rows` whose query and header are there."""
    for op in rows:
        if op.header is not None and not _has_header(op.header, headers, params):
            continue
        if not op.query or (
            all(value is None or params.get(name) == value for name, value in op.query)
            and all(name in params for name, _ in op.query)
        ):
            return op
    if not rows:
        raise _no_method(method, target)
    if rows[-1].implemented:
        # Only list-type and its like get here: the word is known, the value is not.
        name = rows[-1].query[0][0]
        raise S3Error(
            "InvalidArgument",
            f"The value of {name} is not valid",
            ArgumentName=name,
            ArgumentValue=params.get(name, ""),
        )
    return rows[-1]


def _has_header(name: str, headers: Mapping[str, str], params: Mapping[str, str]) -> bool:
    """Tell if a header is there, or in the query, where presigning moves `x-amz-*` headers."""
    if name in headers:
        return True
    size = len(name)
    for each in params:  # noqa: SIM110 - a generator costs more than the loop
        if len(each) == size and each.lower() == name:
            return True
    return False


def _check_parameters(op: Op, params: Mapping[str, str]) -> None:
    if params.keys() <= SIGNATURE_PARAMETERS:
        return
    read = _READ_QUERY[op.name]
    for name in params:
        if name in read or name in _ALWAYS or brings_header(name, params):
            continue
        if name == "versionId":
            raise S3Error(
                "InvalidArgument",
                "This operation does not accept a version-id.",
                ArgumentName=name,
                ArgumentValue=params[name],
            )
        raise S3Error(
            "NotImplemented",
            f"The query parameter {name!r} implies functionality that is not implemented",
        )


def _not_implemented(op: Op) -> S3Error:
    return S3Error("NotImplemented", f"{op.name} is not implemented: {op.reason}")


def _no_method(method: str, target: str, word: str | None = None) -> S3Error:
    if method == "OPTIONS":
        # What S3 answers to a preflight for a bucket without CORS rules.
        return S3Error("AccessForbidden", Method=method, ResourceType=target.upper())
    allowed = sorted(
        known
        for (known, known_target), table in _INDEX.items()
        if known_target == target and (word is None or word in table.words)
    )
    return S3Error(
        "MethodNotAllowed",
        headers=(("Allow", ", ".join(allowed)),) if allowed else (),
        Method=method,
        ResourceType=word.upper() if word else target.upper(),
    )
