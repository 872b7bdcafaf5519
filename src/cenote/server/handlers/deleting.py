"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from cenote.buckets import Conditions, DeleteKey, DeleteOutcome, objects
from cenote.errors import Error, UnsupportedError
from cenote.s3 import S3Error, structs
from cenote.server.call import Call
from cenote.server.faults import s3_error_of

__all__ = ["delete_object", "delete_objects"]


def delete_object(call: Call) -> object:
    """Answer DeleteObject."""
    asked = call.input
    if asked.if_match_last_modified_time is not None or asked.if_match_size is not None:
        raise S3Error("NotImplemented")  # of directory buckets only, on AWS too
    change = objects.delete(asked.key, Conditions(asked.if_match))
    return call.commit(call.bucket(), change, lambda _: structs.DeleteObjectOutput())


def delete_objects(call: Call) -> object:
    """Answer DeleteObjects."""
    asked = call.input.delete
    refused: dict[int, structs.DeleteError] = {}
    keys = []
    for at, item in enumerate(asked.objects):
        error = _refusal(item)
        if error is not None:
            refused[at] = error
        else:
            keys.append(DeleteKey(item.key, item.etag))

    def then(outcomes: list[DeleteOutcome]) -> object:
        deleted, errors = [], list(refused.values())
        for outcome in outcomes:
            if outcome.error_kind is not None:
                errors.append(_error(outcome))
            elif not asked.quiet:
                deleted.append(structs.DeletedObject(key=outcome.key))
        return structs.DeleteObjectsOutput(deleted=deleted, errors=errors)

    bucket = call.bucket()
    if not keys:
        return then([])
    return call.commit(bucket, objects.delete_many(keys), then)


def _refusal(item: structs.ObjectIdentifier) -> structs.DeleteError | None:
    """Refuse what cannot be done of one key, without failing the others."""
    error: S3Error | None = None
    if item.version_id not in (None, "", "null"):
        error = S3Error("NoSuchVersion")
    elif item.last_modified_time is not None or item.size is not None:
        error = S3Error("NotImplemented")
    if error is None:
        return None
    return structs.DeleteError(
        key=item.key, version_id=item.version_id, code=error.code, message=error.message
    )


def _error(outcome: DeleteOutcome) -> structs.DeleteError:
    error: Error = UnsupportedError(outcome.error_message or "", kind=outcome.error_kind)
    shown = s3_error_of(error)
    return structs.DeleteError(key=outcome.key, code=shown.code, message=shown.message)
