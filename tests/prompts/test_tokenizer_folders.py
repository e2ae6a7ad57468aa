"""What a model's folder may hold beside `tokenizer.json`: templates by name, named tokens, added words, a date."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.chat_families import CHATML, FAMILY_NAMES, Family, make_family
from tests.support.engine.template_trials import TOOLS
from trivet.errors import ConfigError, InvalidRequest
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import Message, Tool
from trivet.types.variant import VersionRef

PROMPT = PromptSource(VersionRef("p", "1"), Path("1.md"), (Turn("system", ("Be brief.",)),))
MARKED = "{% for m in messages %}<|im_start|>NAME {{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}"


@pytest.fixture
def folder(chatml: Family, tmp_path: Path) -> Path:
    """A model's folder without a chat template."""
    shutil.copytree(chatml.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").unlink()
    return tmp_path


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **fields}))


def assembled(chat: ChatTokenizer, text: str = "Hi", tools: tuple[Tool, ...] = ()) -> AssembledPrompt:
    return PromptAssembler(PROMPT, chat).assemble(
        [Message("user", text)], context_tokens=1000, max_tokens=1, tools=tools
    )


def told(family: Family, chat: ChatTokenizer, tools: tuple[Tool, ...] = ()) -> str:
    return str(family.reference.decode(assembled(chat, tools=tools).token_ids))


def test_one_of_several_templates_is_chosen_by_name(chatml: Family, folder: Path) -> None:
    config = folder / "tokenizer_config.json"
    entries = [{"name": name, "template": MARKED.replace("NAME", name)} for name in ("default", "tool_use", "rag")]
    change(config, chat_template=entries)
    assert "default user:Hi" in told(chatml, ChatTokenizer.load(folder))
    assert "rag user:Hi" in told(chatml, ChatTokenizer.load(folder, named="rag"))
    assert "tool_use user:Hi" in told(chatml, ChatTokenizer.load(folder), TOOLS)
    assert "rag user:Hi" in told(chatml, ChatTokenizer.load(folder, named="rag"), TOOLS)
    with pytest.raises(ConfigError, match="'poem', expected one of: default, rag, tool_use"):
        ChatTokenizer.load(folder, named="poem")
    others = folder / "additional_chat_templates"
    others.mkdir()
    (others / "rag.jinja").write_text(MARKED.replace("NAME", "file"))
    (folder / "chat_template.jinja").write_text(MARKED.replace("NAME", "own"))
    assert "file user:Hi" in told(chatml, ChatTokenizer.load(folder, named="rag"))
    assert "own user:Hi" in told(chatml, ChatTokenizer.load(folder))


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_raw_prompt_begins_as_the_tokenizer_begins_a_text(name: str, tmp_path: Path) -> None:
    family = make_family(name, tmp_path)
    bare = PromptAssembler(PromptSource(PROMPT.ref, PROMPT.path, (), raw=True), ChatTokenizer.load_raw(family.folder))
    told = PromptAssembler(replace(PROMPT, raw=True), ChatTokenizer.load_raw(family.folder))
    for text in ("Once upon", " two\n\nlines ", "Don't; \u4e2d\u6587 \U0001f642"):
        made = bare.assemble([Message("user", text)], context_tokens=1000, max_tokens=1)
        assert list(made.token_ids) == family.reference(text).input_ids
        behind = told.assemble([Message("user", text)], context_tokens=1000, max_tokens=1)
        assert list(behind.token_ids) == family.reference(f"Be brief.\n\n{text}").input_ids
    hostile = bare.assemble([Message("user", "".join(family.markers))], context_tokens=1000, max_tokens=1)
    begun = len(bare.prefix.token_ids)
    assert not family.controls(hostile.token_ids[begun:])
    (tmp_path / "chat_template.jinja").unlink()
    assert ChatTokenizer.load_raw(tmp_path).text.control_ids


def test_a_template_in_json(chatml: Family, folder: Path) -> None:
    change(folder / "chat_template.json", chat_template=MARKED)
    assert "NAME user:Hi" in told(chatml, ChatTokenizer.load(folder))


def test_tokens_that_the_configuration_names_are_the_templates(chatml: Family, folder: Path) -> None:
    config = folder / "tokenizer_config.json"
    change(config, audio_token="<|im_start|>", extra_special_tokens={"turn_end": "<|im_end|>"})
    template = "{% for m in messages %}{{ audio_token }}{{ m.role }}\n{{ m.content }}{{ turn_end }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    assert told(chatml, ChatTokenizer.load(folder)).endswith("<|im_start|>user\nHi<|im_end|>")
    assert len(chatml.controls(assembled(ChatTokenizer.load(folder)).token_ids)) == 4


def test_an_added_word_is_used_and_an_added_marker_is_not(chatml: Family, folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text())
    first = len(chatml.reference)
    added = ("Fahrradverleih", "[PAUSE]", "seven gears", "shared")
    for number, content in enumerate(added):
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        special = {"special": content == "shared"}
        document["added_tokens"].append({"id": first + number, "content": content, **flags, **special})
    (folder / "tokenizer.json").write_text(json.dumps(document))
    (folder / "chat_template.jinja").write_text(CHATML)
    chat = ChatTokenizer.load(folder)
    ids = assembled(chat, "Fahrradverleih [PAUSE] seven gears shared").token_ids
    assert [first + n in ids for n in range(4)] == [True, False, True, False]
    # What the template writes is no word of the user's either.
    (folder / "chat_template.jinja").write_text(CHATML.replace("'<|im_start|>'", "'<|im_start|>Fahrradverleih'"))
    ids = assembled(ChatTokenizer.load(folder), "Fahrradverleih seven gears").token_ids
    assert ids.count(first) == 1


def test_a_tokenizer_in_another_form_is_told_of(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(CHATML)
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    with pytest.raises(ConfigError, match=r"tokenizer\.json:1: .*beside tokenizer\.model; .*save_pretrained"):
        ChatTokenizer.load(folder)


class Clock:
    def __init__(self, day: int) -> None:
        self.now = datetime(2026, 3, day, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_new_day_is_a_new_prefix_where_the_template_writes_the_date(tmp_path: Path) -> None:
    llama = make_family("llama3", tmp_path)
    clock = Clock(1)
    assembler = PromptAssembler(PROMPT, ChatTokenizer.load(tmp_path, clock))

    def made() -> AssembledPrompt:
        return assembler.assemble([Message("user", "Hi")], context_tokens=1000, max_tokens=1)

    first, prefix = made(), assembler.prefix
    assert "01 Mar 2026" in llama.reference.decode(first.token_ids)
    assert (first.prefix_tokens, first.prefix_fingerprint) == (prefix.tokens, prefix.fingerprint)
    clock.now = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    assert made().token_ids == first.token_ids
    renewed = [assembler.renews]
    clock.now = datetime(2026, 3, 2, tzinfo=UTC)
    renewed.append(assembler.renews)
    second = made()
    assert "02 Mar 2026" in llama.reference.decode(second.token_ids)
    assert second.prefix_tokens == assembler.prefix.tokens
    assert second.prefix_fingerprint == assembler.prefix.fingerprint != prefix.fingerprint
    assert [*renewed, assembler.renews] == [False, True, False]


def test_a_template_without_a_date_knows_no_days(chatml: Family) -> None:
    clock = Clock(1)
    assembler = PromptAssembler(PROMPT, ChatTokenizer.load(chatml.folder, clock))
    prefix = assembler.prefix
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    assert assembler.prefix is prefix
    assert not assembler.renews


@pytest.mark.parametrize(
    ("template", "plain"),
    [
        (CHATML, False),
        ("{% for m in messages %}{{ m.role | upper }}: {{ m.content }}\n{% endfor %}ASSISTANT:", True),
        ("{% for m in messages %}### {{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}", False),
        ("<|im_start|>{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}<|im_end|>", True),
    ],
)
def test_whether_a_user_can_forge_a_turn(folder: Path, template: str, plain: bool) -> None:
    (folder / "chat_template.jinja").write_text(template)
    assert ChatTokenizer.load(folder).plain_roles is plain


def test_a_template_that_makes_too_much_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(
        CHATML + "{% for i in range(3000) %}{{ messages[-1].content }}{% endfor %}"
    )
    assembler = PromptAssembler(PROMPT, ChatTokenizer.load(folder))
    with pytest.raises(InvalidRequest, match=r"it makes .* characters of"):
        assembler.assemble([Message("user", "x " * 3000)], context_tokens=10**6, max_tokens=1)
