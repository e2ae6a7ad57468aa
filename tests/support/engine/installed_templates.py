"""Chat templates that installed packages carry: real ones, which stay where they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from mistral_common.integrations.chat_templates.template_generator import TemplateConfig, build_chat_template
from mistral_common.tokens.tokenizers.base import TokenizerVersion


def installed_templates() -> dict[str, str]:
    """By where they come from; each text once."""
    found = {text: name for name, text in (*_of_vllm(), *_of_transformers(), *_of_mistral())}
    return {name: text for text, name in sorted(found.items(), key=lambda item: item[1])}


def _folder(package: str) -> Path:
    """Where it is, without importing it."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _of_vllm() -> Iterator[tuple[str, str]]:
    folder = _folder("vllm")
    for path in sorted(folder.rglob("*.jinja")):
        if "messages" in (text := path.read_text(encoding="utf-8")):
            yield f"vllm/{path.name}", text


def _of_transformers() -> Iterator[tuple[str, str]]:
    """Texts in the code that read like templates."""
    folder = _folder("transformers") / "models"
    for path in sorted(folder.glob("*/processing_*.py")):
        source = path.read_text(encoding="utf-8")
        if "in messages" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if "in messages" in text and text.lstrip().startswith("{"):
                yield f"transformers/{path.parent.name}:{getattr(node, 'lineno', 0)}", text


def _of_mistral() -> Iterator[tuple[str, str]]:
    """Each version's, with and without its options."""
    for version, (spm, image, thinking, plain) in product(list(TokenizerVersion), product((False, True), repeat=4)):
        efforts: dict[str, object] = {}
        if version >= TokenizerVersion.v15:
            efforts = {"reasoning_effort_values": ("none", "high"), "reasoning_effort_default": "none"}
        try:
            config = TemplateConfig(version, spm, image, False, thinking, plain, True, **efforts)  # type: ignore[arg-type]
        except ValueError:
            continue
        name = "-".join(
            part for part, on in (("spm", spm), ("image", image), ("think", thinking), ("plain", plain)) if on
        )
        yield f"mistral/{version.value}-{name}", build_chat_template(config)
