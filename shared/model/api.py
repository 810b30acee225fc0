"""What the three API kinds share: the base model, conditions, and the schema marks that pydantic has no word for.

Fed by: nothing. Feeds: hub.py, form.py, node.py, crd.py. Never: validates beyond what Lynq's own schema does
(stored objects must stay writable; strictness lives in the validation function).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shared.errors import InvalidError

__all__ = [
    "ApiModel",
    "Condition",
    "FreeObject",
    "Int32",
    "Int64",
    "Metadata",
    "Time",
    "find_condition",
    "parse_object",
    "transition_time",
]


class ApiModel(BaseModel):
    """camelCase on the wire, snake_case here; unknown fields are ignored; error texts never quote the input."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )


Int32 = Annotated[int, Field(json_schema_extra={"format": "int32"})]
Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
FreeObject = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]


class Metadata(ApiModel):
    """The part of metav1.ObjectMeta that rowplane reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class Condition(ApiModel):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    message: Annotated[str, Field(max_length=32768)]
    last_transition_time: Time
    observed_generation: Annotated[Int64, Field(ge=0)] | None = None


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type; None when it is not told."""
    return next((condition for condition in conditions if condition.type == kind), None)


def transition_time(known: Condition | None, status: str, stamp: str) -> str:
    """The lastTransitionTime of a condition with this `status`: it moves, to `stamp`, only when that differs."""
    return known.last_transition_time if known is not None and known.status == status else stamp


_M = TypeVar("_M", bound=ApiModel)


def parse_object(model: type[_M], document: dict[str, Any]) -> _M:
    """One API object as its model. Raises InvalidError that names the object and the first wrong field."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        metadata = document.get("metadata") or {}
        name = f"{metadata.get('namespace', '')}/{metadata.get('name', '?')}"
        raise InvalidError(f"{document.get('kind', model.__name__)} {name}: {where}: {first['msg']}") from error
