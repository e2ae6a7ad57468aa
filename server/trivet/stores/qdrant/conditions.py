"""Conditions on documents' fields as Qdrant's filters, and the payload indexes that make them fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from trivet.stores.records import field_key, truth_word
from trivet.types.metadata import where as conditions
from trivet.types.metadata.fields import FieldType, FieldTypes
from trivet.types.metadata.where import Where

_FEW_WORDS = 8  # are looked for one by one, which the engine does faster than for any of a list

Schema = models.PayloadSchemaType | models.KeywordIndexParams


def condition_of(where: Where) -> models.Condition:
    """Conditions whose values are in the fields' types."""
    match where:
        case conditions.AllOf(parts):
            return models.Filter(must=[condition_of(part) for part in parts])
        case conditions.AnyOf(parts):
            return models.Filter(should=[condition_of(part) for part in parts])
        case conditions.Not(part):
            return models.Filter(must_not=[condition_of(part)])
    return _field(where)


def field_indexes(types: FieldTypes) -> Mapping[str, Schema]:
    """By payload key, the index of each field."""
    return {field_key(name): _SCHEMAS[type_] for name, type_ in types.items()}


_WORDS = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, prefix=True)
_SCHEMAS: Mapping[FieldType, Schema] = {
    FieldType.TEXT: _WORDS,
    FieldType.LIST: _WORDS,
    FieldType.BOOL: models.PayloadSchemaType.KEYWORD,
    FieldType.NUMBER: models.PayloadSchemaType.FLOAT,
    FieldType.DATE: models.PayloadSchemaType.FLOAT,
}


def _field(condition: conditions.Condition) -> models.Condition:
    key = field_key(condition.field)
    match condition.test:
        case conditions.Test.EXISTS:
            absent = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
            return models.Filter(must_not=[absent]) if condition.values[0] else absent
        case conditions.Test.PREFIX:
            return models.FieldCondition(key=key, match=models.MatchPrefix(prefix=condition.values[0]))
        case conditions.Test.RANGE:
            bounds = dict(zip(condition.bounds, condition.values, strict=True))
            return models.FieldCondition(key=key, range=models.Range(**bounds))
    return _one_of(key, condition.values)


def _one_of(key: str, values: tuple[Any, ...]) -> models.Condition:
    """Numbers are stored with a fraction, which only ranges compare."""
    if isinstance(values[0], float):
        ranges: list[models.Condition] = [
            models.FieldCondition(key=key, range=models.Range(gte=value, lte=value)) for value in values
        ]
        return models.Filter(should=ranges)
    words = [truth_word(value) if isinstance(value, bool) else value for value in values]
    if len(words) > _FEW_WORDS:
        return models.FieldCondition(key=key, match=models.MatchAny(any=words))
    alternatives: list[models.Condition] = [
        models.FieldCondition(key=key, match=models.MatchValue(value=word)) for word in words
    ]
    return alternatives[0] if len(words) == 1 else models.Filter(should=alternatives)
