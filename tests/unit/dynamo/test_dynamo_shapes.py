"""Operations and members against botocore's model of the service: none is left untold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.session
import pytest

import cenote.dynamo
from cenote.dynamo import ABSENT, OPERATIONS, PASSED, REFUSED, SHAPES, members_of

MODEL = botocore.session.get_session().get_service_model("dynamodb")
SOURCE = Path(cenote.dynamo.__file__).parent
TYPES = {"string": "text", "boolean": "flag", "integer": "integer", "long": "long"}


def test_every_operation_is_there_or_refused_by_name() -> None:
    # A newer botocore may know more than a page can say; an older one less.
    assert set(OPERATIONS) == set(SHAPES)
    assert not set(OPERATIONS) & set(ABSENT)
    assert set(MODEL.operation_names) <= set(OPERATIONS) | set(ABSENT)


def same(shape: Any, model: Any, path: str) -> None:
    """Demand that our shape is the model's, below members that are refused whatever they hold."""
    if shape == "any":
        return
    if model.name == "AttributeValue":
        assert shape == "value", path
    elif model.type_name == "structure":
        assert set(shape) == set(model.members), path
        for name, each in model.members.items():
            same(shape[name], each, f"{path}.{name}")
    elif model.type_name == "list":
        assert isinstance(shape, list), path
        same(shape[0], model.member, path)
    elif model.type_name == "map":
        assert list(shape) == ["*"], path
        same(shape["*"], model.value, path)
    else:
        assert shape == TYPES[model.type_name], path


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_member_is_told_with_its_type(operation: str) -> None:
    same(SHAPES[operation], MODEL.operation_model(operation).input_shape, operation)


def test_what_is_said_to_be_read_is_named_by_the_code_that_reads() -> None:
    code = "\n".join(
        path.read_text("utf-8")
        for path in SOURCE.rglob("*.py")
        if path.name not in ("shapes.py", "coverage.py")
    )
    for operation in OPERATIONS:
        for path, fate in members_of(operation):
            name = path.rpartition(".")[2]
            if fate == "read":
                assert f'"{name}"' in code, path
            elif fate == "refused":
                assert f'"{name}"' not in code, path


def test_every_exception_is_of_a_member() -> None:
    told = {path for name in OPERATIONS for path, _ in members_of(name)}
    told |= {f"{name}.{path}" for name in OPERATIONS for path, _ in members_of(name)}
    assert set(PASSED) | REFUSED <= told
