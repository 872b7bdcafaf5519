"""Buckets that are to be there from the start."""

from __future__ import annotations

from cenote.buckets import Store
from cenote.errors import AlreadyExistsError
from cenote.server.settings import Settings

__all__ = ["make_buckets"]


def make_buckets(store: Store, settings: Settings) -> None:
    """Make the buckets of the settings that are not there.

    Raises InvalidError for a name that no bucket may have, UnavailableError.
    """
    for name in settings.buckets:
        if not store.has_bucket(name):
            try:
                store.create_bucket(name, region=settings.region)
            except AlreadyExistsError as error:
                if error.kind != "bucket_exists":
                    raise
