"""The record's schemas, made from its dataclasses: JSON Schema for people and tools, Arrow for Parquet."""

import types
import typing
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Union

import msgspec

from labelgen.data.form import Record, TargetForm

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one record."""
    schema: dict[str, Any] = msgspec.json.schema(Record)
    target = schema["$defs"]["TargetForm"]["properties"]
    target["not"] = target.pop("not_")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "labelgen record", **schema}


@cache
def arrow_schema() -> "pa.Schema":
    """One fixed schema: every field nullable but those that a record needs."""
    import pyarrow as pa

    return pa.schema(list(_arrow_type(Record)))


def features() -> "datasets.Features":
    """The record for Hugging Face's datasets: `load_dataset("json", data_files=..., features=features())`.

    Parquet carries its schema itself. JSON Lines does not, and a field that is null in a file's first part would else
    be guessed wrongly."""
    import datasets

    return datasets.Features.from_arrow_schema(arrow_schema())


def _arrow_type(kind: Any) -> Any:
    import pyarrow as pa

    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        rename = {"not_": "not"} if kind is TargetForm else {}
        return pa.struct([pa.field(rename.get(f.name, f.name), _arrow_type(hints[f.name])) for f in fields(kind)])
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in arguments if a is not type(None)]
        return _arrow_type(inner)
    if origin is tuple:
        return pa.list_(_arrow_type(arguments[0]))
    if origin is typing.Literal:
        return pa.string()
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[kind]
