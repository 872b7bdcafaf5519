"""The errors of the DynamoDB protocol.

Owns: their names, prefixes and statuses, and the error as an exception.
Does not own: when one is raised, how it is rendered.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["DynamoError", "invalid"]

_DYNAMO: Final = "com.amazonaws.dynamodb.v20120810#"
_CORAL: Final = "com.amazon.coral.service#"
_VALIDATE: Final = "com.amazon.coral.validate#"

_CODES: Final[dict[str, tuple[str, int]]] = {
    "AccessDeniedException": (_CORAL, 400),
    "ConditionalCheckFailedException": (_DYNAMO, 400),
    "IdempotentParameterMismatchException": (_DYNAMO, 400),
    "IncompleteSignatureException": (_CORAL, 400),
    "InternalServerError": (_DYNAMO, 500),
    "InvalidSignatureException": (_CORAL, 400),
    "ItemCollectionSizeLimitExceededException": (_DYNAMO, 400),
    "LimitExceededException": (_DYNAMO, 400),
    "MissingAuthenticationTokenException": (_CORAL, 400),
    "ProvisionedThroughputExceededException": (_DYNAMO, 400),
    "ResourceInUseException": (_DYNAMO, 400),
    "ResourceNotFoundException": (_DYNAMO, 400),
    "SerializationException": (_CORAL, 400),
    "ServiceUnavailable": (_CORAL, 503),
    "TransactionCanceledException": (_DYNAMO, 400),
    "TransactionConflictException": (_DYNAMO, 400),
    "UnknownOperationException": (_CORAL, 400),
    "UnrecognizedClientException": (_CORAL, 400),
    "ValidationException": (_VALIDATE, 400),
}


class DynamoError(Exception):
    """An answer that is an error: a code of the protocol, a message, further members.

    `members` are what the body has beside `__type` and `message`, as JSON values.
    """

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.members = members
        self.prefix, self.status = _CODES[code]

    def body(self) -> dict[str, Any]:
        """Return the error as the value of the answer's JSON."""
        # Some clients read one spelling, some the other; the service itself varies.
        key = "Message" if self.code == "SerializationException" else "message"
        return {"__type": self.prefix + self.code, key: self.message, **self.members}


def invalid(message: str) -> DynamoError:
    """Make the error of a request that must be changed."""
    return DynamoError("ValidationException", message)
