"""What routes want of their searches, held against the indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from trivet.config.schema import ConfigFile, IndexFile, VariantRetrieval, VariantSection
from trivet.config.yaml_lines import YamlDocument
from trivet.types.metadata.fields import FieldType
from trivet.types.metadata.where import bound, parse_where


def check_searches(document: YamlDocument, file: ConfigFile, indexes: Mapping[str, IndexFile]) -> Iterator[str]:
    """One line per problem. `indexes` are those whose own file was read without one."""
    for name, route in file.routes.items():
        for key, variant in route.variants.items():
            if variant.retrieval is not None:
                at = ("routes", name, "variants", key, "retrieval")
                yield from _search(document, file, indexes, at, variant.retrieval)
                yield from _answer(document, at, variant)


def _search(
    document: YamlDocument,
    file: ConfigFile,
    indexes: Mapping[str, IndexFile],
    at: tuple[str, ...],
    wanted: VariantRetrieval,
) -> Iterator[str]:
    named = {(*at, "index"): wanted.index}
    if wanted.few_shot is not None:
        named[*at, "few_shot", "index"] = wanted.few_shot.index
    for where, index in named.items():
        if ("indexes", index) not in document.lines:
            known = ", ".join(file.indexes) or "none"
            yield document.problem(where, f"no index {index!r}; known: {known}")
    yield from _where(document, at, wanted, indexes.get(wanted.index))
    if wanted.few_shot is not None and wanted.few_shot.index == wanted.index:
        yield document.problem((*at, "few_shot", "index"), "the index of the passages, expected one of examples alone")
    index_file = indexes.get(wanted.index)
    if wanted.rerank and index_file is not None and index_file.rerank is None:
        problem = f"index {wanted.index!r} has no cross-encoder, expected `rerank: {{model: ...}}` in its index.yaml"
        yield document.problem((*at, "rerank"), problem)


def _where(
    document: YamlDocument, at: tuple[str, ...], wanted: VariantRetrieval, index: IndexFile | None
) -> Iterator[str]:
    """Conditions on fields can be read, and the index declares the fields in these types."""
    if wanted.where is None:
        return
    try:
        asked = parse_where(wanted.where)
        if index is not None:
            bound(asked, {name: FieldType(type_) for name, type_ in index.fields.items()})
    except ValueError as error:
        yield document.problem((*at, "where"), str(error))


def _answer(document: YamlDocument, at: tuple[str, ...], variant: VariantSection) -> Iterator[str]:
    """A variant that promises JSON keeps its promise when it does not ask the model."""
    if variant.retrieval is None or variant.retrieval.confidence is None or variant.json_schema is None:
        return
    import jsonschema  # type: ignore[import-untyped]  # here, because few configurations need it

    where = (*at, "confidence", "answer")
    try:
        jsonschema.validate(json.loads(variant.retrieval.confidence.answer), variant.json_schema)
    except ValueError as error:
        yield document.problem(where, f"is not JSON ({error}), expected what the variant's json_schema asks for")
    except jsonschema.ValidationError as error:
        yield document.problem(where, f"does not fit the variant's json_schema: {error.message}")
    except jsonschema.SchemaError as error:
        yield document.problem((*at[:-1], "json_schema"), f"is not a JSON schema: {error.message}")
