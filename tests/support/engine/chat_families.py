"""Small tokenizers with the chat formats of well-known model families, built in a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.support.engine.later import Later
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer

FIXED_DATE = datetime(2024, 7, 26, tzinfo=UTC)

transformers = Later("transformers")

CORPUS = (
    "You answer from the handbook. Answer with only the value, nothing else. If the passages do not tell, say so.",
    "Passages:\n[1] The battery life of the Velora lamp is 12 hours.\n[2] Orrin Plus ships from Tamsel.\n\nWhat is it?",
    "system user assistant model Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n I do not know.",
    "Don't stop. We've been there; they're here: e-mail a@b.example, 1234567 or 3.14 %!\t(see below)\r\n  in\n\n\n",
    "Ünïcödé text, naïve café, 中文字符和日本語, эта строка, עברית, 👩‍👩‍👧 🙂",
) * 3

CHATML = """{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) or message.role == 'assistant' %}
{%- set content = message.content %}
{%- if message.role == 'assistant' and '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""  # noqa: E501

LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""  # noqa: E501

LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}
{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}
{% for message in loop_messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate user/assistant') }}{% endif %}
{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
{% else %}{% set content = message['content'] %}{% endif %}
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""  # noqa: E501

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}
{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}"""  # noqa: E501

PHI3 = """{% for message in messages %}{{'<|' + message['role'] + '|>' + '
' + message['content'] + '<|end|>
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %}"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set loop_messages = messages %}{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
{%- if message["role"] == "user" %}
{%- if loop.last and system_message is defined %}{{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
{%- else %}{{- "[INST] " + message["content"] + "[/INST]" }}{%- endif %}
{%- elif message["role"] == "assistant" %}{% generation %}{{- " " + message["content"]|trim + eos_token}}{% endgeneration %}{%- endif %}
{%- endfor %}"""  # noqa: E501

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Family:
    """`markers` are the texts of its control tokens."""

    name: str
    folder: Path
    reference: Any  # transformers' PreTrainedTokenizerFast
    markers: tuple[str, ...]
    kept: dict[object, PromptAssembler] = field(default_factory=dict)

    def chat_tokenizer(self) -> ChatTokenizer:
        """Of its folder, on the fixed date."""
        return ChatTokenizer.load(self.folder, lambda: FIXED_DATE)

    def assembler(self, prompt: PromptSource) -> PromptAssembler:
        """One per prompt, kept."""
        key = (prompt.turns, prompt.passages_header)
        if key not in self.kept:
            self.kept[key] = PromptAssembler(prompt, self.chat_tokenizer())
        return self.kept[key]

    def expected(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """What Hugging Face makes of the messages, on the fixed date."""
        ids = self.reference.apply_chat_template(
            [{"role": role, "content": content} for role, content in messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            strftime_now=FIXED_DATE.strftime,
        )
        return list(ids)

    def controls(self, ids: Sequence[int]) -> list[int]:
        """The control tokens among the ids."""
        wanted = {self.reference.convert_tokens_to_ids(marker) for marker in self.markers}
        return [token for token in ids if token in wanted]


def _byte_level(pattern: str, size: int = 700) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer


def _special(*contents: str, **flags: bool) -> list[AddedToken]:
    return [AddedToken(content, special=True, normalized=False, **flags) for content in contents]


def _chatml() -> Tokenizer:
    tokenizer = _byte_level(QWEN_SPLIT)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(_special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.add_tokens(
        [AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>", "<tool_call>")]
    )
    return tokenizer


def _llama3() -> Tokenizer:
    tokenizer = _byte_level(QWEN_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|", 1))
    tokenizer.model.ignore_merges = True
    names = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    tokenizer.add_special_tokens(_special(*names))
    first = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", first)]
    )
    return tokenizer


def _sentencepiece(special: Sequence[str], **metaspace: Any) -> Tokenizer:
    """BPE over characters with byte fallback, its control tokens within the vocabulary as sentencepiece has them."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**metaspace)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokens = [*_special("<unk>", *special), *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=800, special_tokens=tokens, show_progress=False, limit_alphabet=90)
    )
    return _only_added(tokenizer, {"<unk>", *special})


def _only_added(tokenizer: Tokenizer, keep: set[str]) -> Tokenizer:
    """The trainer makes an added token of every byte; sentencepiece's are plain entries of the vocabulary."""
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = [token for token in document["added_tokens"] if token["content"] in keep]
    return Tokenizer.from_str(json.dumps(document))


def _llama2() -> Tokenizer:
    return _sentencepiece(("<s>", "</s>"), prepend_scheme="first", split=False)


def _mistral() -> Tokenizer:
    tokenizer = _sentencepiece(("<s>", "</s>", "[INST]", "[/INST]"), prepend_scheme="always", split=False)
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


def _gemma() -> Tokenizer:
    tokenizer = _sentencepiece(("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), prepend_scheme="never")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.add_tokens(
        [AddedToken(text, normalized=False) for text in ("\n\n", "\n\n\n", "▁▁", "▁▁▁", "\t\t", "<table>")]
    )
    return tokenizer


def _phi3() -> Tokenizer:
    tokenizer = _sentencepiece(("<s>", "</s>"), prepend_scheme="first", split=False)
    tokenizer.add_special_tokens(_special("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", rstrip=True))
    tokenizer.add_special_tokens(_special("<|place|>", lstrip=True, rstrip=True))
    return tokenizer


def _unigram() -> Tokenizer:
    """As T5 and XLM-R have it: the control tokens are pieces of the model too, and the cheapest ones."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    special = _special("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
    tokenizer.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    return tokenizer


_FAMILIES: dict[str, tuple[Callable[[], Tokenizer], str, dict[str, str]]] = {
    "chatml": (_chatml, CHATML, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}),
    "llama3": (_llama3, LLAMA3, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
    "llama2": (_llama2, LLAMA2, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "mistral": (_mistral, MISTRAL, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "gemma": (_gemma, GEMMA, {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}),
    "phi3": (_phi3, PHI3, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "unigram": (_unigram, CHATML, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
}
FAMILY_NAMES = tuple(_FAMILIES)


def make_family(name: str, folder: Path) -> Family:
    """Build one family's tokenizer and save it as Hugging Face does."""
    build, template, special = _FAMILIES[name]
    tokenizer = build()
    reference = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **special)
    reference.save_pretrained(folder)
    reference = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    added = {token.content for token in reference.added_tokens_decoder.values()} - {"<unk>"}
    return Family(name, folder, reference, tuple(sorted(a for a in added if a.replace("▁", " ").strip())))
