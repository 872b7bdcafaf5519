"""Pages of objects and of uploads: prefix, delimiter, markers and tokens.

Owns: where a page begins and how the next one is found again.
Does not own: the walk itself (`folding`), or the encoding of keys on the wire (`cenote.s3`).

A token (ListObjectsV2) is base64url of: 1 byte of what follows ("k" a key that was told, "p" a
common prefix that was told), its UTF-8, 6 bytes of keyed BLAKE2b over both. It holds all a page
needs, so any server of the bucket can go on from it, at any time.

Invariants:
1. A page is one consistent view. Pages together tell every key that was there all the while, each
   once, in the order of UTF-8 bytes.
2. A token that was not made here is refused, never misread. (It carries no secret and opens
   nothing: the check is against mistakes.)

Sources: AWS API pages ListObjects, ListObjectsV2, ListMultipartUploads. That a V1 marker inside a
common prefix hides the prefix, and a V2 start-after does not, is S3's observed behaviour.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from cenote.buckets.folding import fold
from cenote.buckets.model import ListObjects, ListUploads, ObjectPage, UploadPage
from cenote.buckets.names import key_after_prefix
from cenote.errors import InvalidError
from cenote.ports import IndexView, ObjectSummary, UploadRecord

__all__ = ["PAGE_MAX", "objects", "uploads"]

PAGE_MAX: Final = 1000

_CHECK_SIZE: Final = 6
_CHECK_KEY: Final = b"cenote list token 1"
_LAST_ID: Final = "\U0010ffff"  # above every upload id

Place = tuple[str, bool]  # a key, and whether the page begins behind it


def objects(view: IndexView, request: ListObjects) -> ObjectPage:
    """Return one page, at most 1000 entries, of the bucket's objects.

    Ensures: with `max_keys` 0 an empty page that is not truncated.
    Raises InvalidError(kind="invalid_argument", argument="continuation-token" or "max-keys").
    Cost: follows the entries returned.
    """
    limit = _limit(request.max_keys, "max-keys")
    end = key_after_prefix(request.prefix)
    start, told = _object_start(request)

    def fetch(place: Place, count: int) -> list[ObjectSummary]:
        key, after = place
        if key < request.prefix:
            key, after = request.prefix, False
        return view.objects(key, end, count, after=after)

    page = fold(
        fetch,
        start,
        prefix=request.prefix,
        delimiter=request.delimiter,
        limit=limit,
        told=told,
        after_row=lambda row: (row.key, True),
        from_key=lambda key: (key, False),
    )
    last = page.last
    if not page.truncated or last is None:
        return ObjectPage(page.rows, page.prefixes)
    if isinstance(last, str):
        marker, token = last, _token(b"p", last)
    else:
        marker, token = last.key, _token(b"k", last.key)
    return ObjectPage(page.rows, page.prefixes, True, next_token=token, next_marker=marker)


def uploads(view: IndexView, request: ListUploads) -> UploadPage:
    """Return one page, at most 1000 entries, of the bucket's uploads under way.

    Order: by key, then by when they began.
    Raises InvalidError(kind="invalid_argument", argument="max-uploads").
    """
    limit = _limit(request.max_uploads, "max-uploads")
    end = key_after_prefix(request.prefix)
    start = ("", "")
    if request.key_marker:
        start = (request.key_marker, request.upload_id_marker or _LAST_ID)

    def fetch(place: tuple[str, str], count: int) -> list[UploadRecord]:
        return view.uploads(max(place, (request.prefix, "")), end, count)

    page = fold(
        fetch,
        start,
        prefix=request.prefix,
        delimiter=request.delimiter,
        limit=limit,
        told=request.key_marker,
        after_row=lambda row: (row.key, row.upload_id),
        from_key=lambda key: (key, ""),
    )
    last = page.last
    if not page.truncated or last is None:
        return UploadPage(page.rows, page.prefixes)
    if isinstance(last, str):
        return UploadPage(page.rows, page.prefixes, True, next_key_marker=last)
    return UploadPage(
        page.rows,
        page.prefixes,
        True,
        next_key_marker=last.key,
        next_upload_id_marker=last.upload_id,
    )


def _object_start(request: ListObjects) -> tuple[Place, str]:
    if request.token:  # an empty one is none: some clients begin so, though not all servers agree
        kind, text = _parse_token(request.token)
        if kind == b"k":
            return (text, True), ""
        beyond = key_after_prefix(text)
        # Behind the last common prefix there can be no key: begin behind all keys.
        return ((text, False), text) if beyond is None else ((beyond, False), "")
    if request.marker:
        return (request.marker, True), request.marker if request.delimiter else ""
    return (request.start_after, bool(request.start_after)), ""


def _limit(asked: int, argument: str) -> int:
    if asked < 0:
        raise InvalidError(
            f"{argument} must not be negative",
            kind="invalid_argument",
            argument=argument,
            value=asked,
        )
    return min(asked, PAGE_MAX)


def _check_of(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_CHECK_SIZE, key=_CHECK_KEY).digest()


def _token(kind: bytes, text: str) -> str:
    payload = kind + text.encode()
    return base64.urlsafe_b64encode(payload + _check_of(payload)).decode("ascii").rstrip("=")


def _parse_token(token: str) -> tuple[bytes, str]:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        payload, check = raw[:-_CHECK_SIZE], raw[-_CHECK_SIZE:]
        if payload[:1] in (b"k", b"p") and check == _check_of(payload):
            return payload[:1], payload[1:].decode()
    except (ValueError, binascii.Error):
        pass
    raise InvalidError(
        "the continuation token provided is incorrect",
        kind="invalid_argument",
        argument="continuation-token",
        value=token,
    )
