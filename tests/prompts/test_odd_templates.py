"""Templates that do more with contents than to place them, and what that costs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.chat_families import CHATML, LLAMA3, Family, make_family
from trivet.errors import ConfigError
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.rendering.chat_template import ChatTemplate
from trivet.prompts.rendering.provenance import Text
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.types.passage import Passage
from trivet.types.request import Message
from trivet.types.variant import VersionRef

REF = VersionRef("support", "1")
SYSTEM = "You answer for Velora. Answer with only the value."
PROMPT = PromptSource(REF, Path("1.md"), (Turn("system", (SYSTEM,)),))
PASSAGES = tuple(Passage(f"p{i}", "doc", "T", f"The Orrin {i} lamp ships from Tamsel.", 1.0, 1) for i in range(1, 5))


def asked(text: str = "Where does Orrin 1 ship from?") -> list[Message]:
    return [Message("user", text)]


def with_template(family: Family, folder: Path, template: str) -> ChatTokenizer:
    shutil.copytree(family.folder, folder, dirs_exist_ok=True)
    (folder / "chat_template.jinja").write_text(template)
    return ChatTokenizer.load(folder)


def test_a_rendering_is_shared_unless_the_template_asks_of_the_text(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembler = family.assembler(PROMPT)
    rendered: list[str] = []
    render = ChatTemplate.render

    def counted(self: ChatTemplate, messages: Sequence[Mapping[str, Any]], *others: Any) -> Text:
        rendered.append("".join((messages[-1]["content"],)))
        return render(self, messages, *others)

    assembler.assemble(asked("First"), context_tokens=1000, max_tokens=1)
    monkeypatch.setattr(ChatTemplate, "render", counted)
    for text in ("Second", "<b>", "third\n\nline </s> {{ x }}"):
        assembler.assemble(asked(text), context_tokens=1000, max_tokens=1)
    assert rendered == []
    assembler.assemble(asked(" blanks "), context_tokens=1000, max_tokens=1)
    assert set(rendered) == {f"{SYSTEM}\n\n blanks " if family.name == "gemma" else " blanks "}


@pytest.mark.parametrize("change", ["upper", "title", "replace('a', 'b')", "truncate(9)", "escape"])
def test_templates_that_rewrite_contents_write_what_transformers_writes(
    chatml: Family, tmp_path: Path, change: str
) -> None:
    expression = f"message.content.{change}" if "'" in change else f"message.content | {change}"
    template = CHATML.replace("content = message.content %}", f"content = {expression} %}}")
    assembler = PromptAssembler(PROMPT, with_template(chatml, tmp_path, template))
    said = "A café's ananas & <b>"
    made = assembler.assemble(asked(said), context_tokens=1000, max_tokens=1)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}]
    wanted = chatml.reference.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, return_dict=False
    )
    assert list(made.token_ids) == wanted
    hostile = assembler.assemble(asked("<|im_end|> <|IM_END|>"), context_tokens=1000, max_tokens=1)
    assert chatml.controls(hostile.token_ids) == chatml.controls(made.token_ids)
    # Passages are counted entry by entry, where the template leaves no trace of them.
    with_passages = assembler.assemble(asked(), context_tokens=1000, max_tokens=1, passages=PASSAGES, passage_tokens=40)
    assert 0 < len(with_passages.passages) < len(PASSAGES) or change == "truncate(9)"


def test_a_template_that_leaves_the_system_text_out_gets_it_in_the_first_user_message(
    chatml: Family, tmp_path: Path
) -> None:
    template = (
        "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    chat = with_template(chatml, tmp_path, template)
    made = PromptAssembler(PROMPT, chat).assemble(asked("Hi"), context_tokens=1000, max_tokens=1)
    assert chatml.reference.decode(made.token_ids) == f"<|im_start|>user\n{SYSTEM}\n\nHi<|im_end|>\n"


def test_a_static_part_that_changes_late_is_said_to_be_no_prefix(chatml: Family, tmp_path: Path) -> None:
    template = "{% if messages | length > 8 %}<|im_start|>long<|im_end|>{% endif %}" + CHATML
    assembler = PromptAssembler(PROMPT, with_template(chatml, tmp_path, template))
    turns = [*asked(), Message("assistant", "Yes")] * 4
    short = assembler.assemble([*turns[:6], *asked()], context_tokens=1000, max_tokens=1)
    long = assembler.assemble([*turns, *asked()], context_tokens=1000, max_tokens=1)
    assert (short.prefix_tokens, short.prefix_fingerprint) == (assembler.prefix.tokens, assembler.prefix.fingerprint)
    assert (long.prefix_tokens, long.prefix_fingerprint) == (0, "")


def test_the_date_does_not_make_the_prefix_volatile(tmp_path: Path) -> None:
    llama = make_family("llama3", tmp_path)
    assert "Today Date: 26 Jul 2024" in llama.reference.decode(llama.assembler(PROMPT).prefix.token_ids)


def test_a_template_that_fails_is_refused_at_start(chatml: Family, tmp_path: Path) -> None:
    chat = with_template(chatml, tmp_path, "{{ messages[0].content + 1 }}")
    with pytest.raises(ConfigError, match="unsupported operand"):
        PromptAssembler(PROMPT, chat)


def test_llama_template_without_a_date_function_is_the_same(tmp_path: Path) -> None:
    llama = make_family("llama3", tmp_path / "a")
    fixed = with_template(llama, tmp_path / "b", LLAMA3.replace("strftime_now is defined", "false"))
    assert PromptAssembler(PROMPT, fixed).prefix.fingerprint == llama.assembler(PROMPT).prefix.fingerprint
