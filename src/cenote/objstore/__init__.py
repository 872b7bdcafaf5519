"""Object stores: one strict contract over memory, directories, bucket files and remote stores.

What needs HTTP or SQLite is imported when it is first asked for: most programs use one store.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cenote.objstore.api import (
    Data,
    Fetched,
    Folder,
    MultipartWriter,
    ObjectMeta,
    ObjectStore,
    Page,
)
from cenote.objstore.around import AroundStore, Call
from cenote.objstore.caching import CachingStore
from cenote.objstore.faulty import Fault, FaultyStore, Odds, scripted
from cenote.objstore.local import LocalStore
from cenote.objstore.memory import MemoryStore
from cenote.objstore.open import open_store, split_uri
from cenote.objstore.parts import PartCachingStore, PartFolder
from cenote.objstore.path import check_path
from cenote.objstore.prefix import PrefixStore
from cenote.objstore.probe import Honours, probe, require_conditional_put
from cenote.objstore.readonly import ReadOnlyStore
from cenote.objstore.recording import RecordingStore, Request
from cenote.objstore.retry import Patience, RetryingStore
from cenote.objstore.slow import Latency, SlowStore
from cenote.objstore.torture import Line, torture
from cenote.objstore.trials import Trial, Verdict
from cenote.objstore.versioned import Codec, Fence, Version, Versioned

if TYPE_CHECKING:
    from cenote.objstore.aws_request import AwsKeys, JsonService
    from cenote.objstore.dynamo_commit import DynamoCommitStore
    from cenote.objstore.dynamo_table import DynamoTable
    from cenote.objstore.sqlite import SqliteStore

__all__ = [
    "AroundStore",
    "AwsKeys",
    "CachingStore",
    "Call",
    "Codec",
    "Data",
    "DynamoCommitStore",
    "DynamoTable",
    "Fault",
    "FaultyStore",
    "Fence",
    "Fetched",
    "Folder",
    "Honours",
    "JsonService",
    "Latency",
    "Line",
    "LocalStore",
    "MemoryStore",
    "MultipartWriter",
    "ObjectMeta",
    "ObjectStore",
    "Odds",
    "Page",
    "PartCachingStore",
    "PartFolder",
    "Patience",
    "PrefixStore",
    "ReadOnlyStore",
    "RecordingStore",
    "Request",
    "RetryingStore",
    "SlowStore",
    "SqliteStore",
    "Trial",
    "Verdict",
    "Version",
    "Versioned",
    "check_path",
    "open_store",
    "probe",
    "require_conditional_put",
    "scripted",
    "split_uri",
    "torture",
]

_LATER: Final = {
    "AwsKeys": "aws_request",
    "DynamoCommitStore": "dynamo_commit",
    "DynamoTable": "dynamo_table",
    "JsonService": "aws_request",
    "SqliteStore": "sqlite",
}


def __getattr__(name: str) -> Any:
    home = _LATER.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value
