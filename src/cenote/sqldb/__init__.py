"""Buckets as SQLite files and pack files: the one backend of `cenote.ports` there is."""

from cenote.sqldb.bucketfile import BucketFile, SqliteIndex
from cenote.sqldb.check import Finding
from cenote.sqldb.directory import INLINE_MAX, Directory
from cenote.sqldb.generations import Generations
from cenote.sqldb.outpost import Outposts, Owner
from cenote.sqldb.packfile import Frame, frames
from cenote.sqldb.snapshots import Snapshots
from cenote.sqldb.tenure import Tenure

__all__ = [
    "INLINE_MAX",
    "BucketFile",
    "Directory",
    "Finding",
    "Frame",
    "Generations",
    "Outposts",
    "Owner",
    "Snapshots",
    "SqliteIndex",
    "Tenure",
    "frames",
]
