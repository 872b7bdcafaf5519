"""Copies: what goes where, several at once, with a meter.

Owns: names of targets, walking folders and prefixes, writing files whole or not at all.
Does not own: the store (`objects`), parts of large uploads (`cenote.client`).

Invariants:
1. A download appears under its name only when complete: it is written beside it and renamed.
2. A key never leads out of the target folder: one with `..`, a drive or a leading slash in it is
   refused, and the rest is still copied.
3. At most `2 * jobs` copies are planned ahead, so that a million keys need no list.
"""

from __future__ import annotations

import mimetypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path, PurePosixPath

from cenote.base import SystemRand
from cenote.cli.location import LocalPath, S3Location
from cenote.cli.objects import Objects
from cenote.cli.progress import Meter
from cenote.errors import Error, InvalidError, NotFoundError

__all__ = ["Transfer"]


class Transfer:
    """One `cp` under way. Use it in a `with`: leaving it waits for what runs, then tells."""

    def __init__(
        self, objects: Objects, *, quiet: bool, jobs: int, content_type: str | None
    ) -> None:
        self._objects = objects
        self._quiet = quiet
        self._jobs = jobs
        self._content_type = content_type
        self._meter = Meter(quiet=quiet)
        self._pool = ThreadPoolExecutor(jobs, "copy")
        self._running: set[Future[None]] = set()
        self._failed: list[str] = []
        self._part_jobs = jobs

    def upload(self, source: LocalPath, target: S3Location, recursive: bool) -> None:
        """Copy a file, or with `recursive` a folder's files, into a bucket."""
        path = source.path
        if not recursive:
            if path.is_dir():
                raise InvalidError(f"{path} is a folder", hint="--recursive copies its files")
            key = target.key
            if not key or key.endswith("/"):
                key += path.name
            self._upload_file(path, S3Location(target.bucket, key))
            return
        if not path.is_dir():
            raise InvalidError(f"{path} is no folder", hint="leave --recursive away")
        prefix = target.key if not target.key or target.key.endswith("/") else target.key + "/"
        self._part_jobs = 1
        for file in _files(path):
            key = prefix + file.relative_to(path).as_posix()
            self._start(partial(self._upload_file, file, S3Location(target.bucket, key)))

    def from_stream(self, target: S3Location) -> None:
        """Copy standard input to a key."""
        if not target.key or target.key.endswith("/"):
            raise InvalidError(f"{target} names no key for standard input")
        self._objects.write(
            target.bucket,
            target.key,
            sys.stdin.buffer,
            size=None,
            headers=self._headers(target.key),
            threads=self._jobs,
            sent=self._meter.advance,
        )

    def download(self, source: S3Location, target: LocalPath, recursive: bool) -> None:
        """Copy an object, or with `recursive` all under a prefix, into files."""
        if not recursive:
            if not source.key:
                raise InvalidError(f"{source} names no key", hint="--recursive copies them all")
            path = target.path
            if target.is_folder or path.is_dir():
                path /= _safe_name(source.key.rpartition("/")[2])
            self._download_file(source, path)
            return
        found = False
        for entry in self._objects.objects(source.bucket, source.key):
            found = True
            # The prefix up to its last slash is the folder that is copied.
            name = entry.key[source.key.rfind("/") + 1 :]
            if name.endswith("/") or not name:
                continue
            try:
                path = target.path / _safe_name(name)
            except InvalidError as error:
                self._fail(str(error))
                continue
            self._start(partial(self._download_file, S3Location(source.bucket, entry.key), path))
        if not found:
            raise NotFoundError(f"nothing lies under {source}")

    def to_stream(self, source: S3Location) -> None:
        """Copy an object to standard output."""
        with self._objects.read(source.bucket, source.key) as reading:
            for data in reading.chunks:
                sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def between(self, source: S3Location, target: S3Location, recursive: bool) -> None:
        """Copy objects inside the store; no bytes come here."""
        if not recursive:
            if not source.key:
                raise InvalidError(f"{source} names no key", hint="--recursive copies them all")
            key = target.key
            if not key or key.endswith("/"):
                key += source.key.rpartition("/")[2]
            self._copy(source, S3Location(target.bucket, key))
            return
        prefix = target.key if not target.key or target.key.endswith("/") else target.key + "/"
        if source.bucket == target.bucket and prefix.startswith(source.key):
            raise InvalidError(f"{target} lies inside {source}: the copy would copy itself")
        cut = source.key.rfind("/") + 1
        for entry in self._objects.objects(source.bucket, source.key):
            one = S3Location(source.bucket, entry.key)
            other = S3Location(target.bucket, prefix + entry.key[cut:])
            self._start(partial(self._copy, one, other))

    def _upload_file(self, path: Path, target: S3Location) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._meter.expect(size)
            self._objects.write(
                target.bucket,
                target.key,
                file,
                size=size,
                headers=self._headers(path.name),
                threads=self._part_jobs,
                sent=self._meter.advance,
            )
        self._say(f"{path} -> {target}")

    def _download_file(self, source: S3Location, path: Path) -> None:
        with self._objects.read(source.bucket, source.key) as reading:
            self._meter.expect(reading.size)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name[:100]}.{SystemRand().bytes(4).hex()}.part")
            try:
                with part.open("xb") as file:
                    for data in reading.chunks:
                        file.write(data)
                        self._meter.advance(len(data))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        self._say(f"{source} -> {path}")

    def _copy(self, source: S3Location, target: S3Location) -> None:
        self._objects.copy((source.bucket, source.key), target.bucket, target.key)
        self._say(f"{source} -> {target}")

    def _headers(self, name: str) -> dict[str, str]:
        kind, encoding = mimetypes.guess_type(name)
        if self._content_type:
            return {"content-type": self._content_type}
        # A compressed file is what it is: its name tells of the bytes, not of a transfer coding.
        if encoding:
            kind = {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}.get(encoding)
        return {"content-type": kind} if kind else {}

    def _start(self, copy: Callable[[], None]) -> None:
        while len(self._running) >= 2 * self._jobs:
            self._settle()
        self._running.add(self._pool.submit(copy))

    def _settle(self) -> None:
        finished, self._running = wait(self._running, return_when=FIRST_COMPLETED)
        for future in finished:
            try:
                future.result()
            except (Error, OSError) as error:
                self._fail(str(error))

    def _fail(self, text: str) -> None:
        self._failed.append(text)
        print(f"cenote: {text}", file=sys.stderr)

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._meter.say(line)

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        try:
            while self._running and kind is None:
                self._settle()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._meter.close()
        if self._failed and kind is None:
            raise Error(f"{len(self._failed)} not copied", kind="copy_failed")


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files under `folder`, links to folders not followed, in order."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _safe_name(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise InvalidError(f"the key {name!r} cannot be a file under the target")
    return name
