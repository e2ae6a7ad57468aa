"""How each of vLLM's parsers has its model write a call, or its thoughts. Source: vLLM 0.32, `vllm.tool_parsers`,
`vllm.parser`, `vllm.reasoning`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MARK = re.compile(r"<[^<>\s=]{1,60}>|\[[A-Z_]{2,20}\]|\]<\]minimax\[>\[")


@dataclass(frozen=True, slots=True)
class Form:
    """A call of the function `find` stands between `before` and `after`, with the argument `text` in the middle.

    `between` ends one argument and begins the next one, whose name has the number in place of `{}`.
    """

    before: str
    after: str
    between: str = '", "a{}": "'

    @property
    def marks(self) -> list[str]:
        """What the parser looks for, each once."""
        return list(dict.fromkeys(_MARK.findall(self.before + self.after)))


def _json(before: str, after: str, arguments: str = "arguments") -> Form:
    return Form(f'{before}{{"name": "find", "{arguments}": {{"text": "', f'"}}}}{after}')


def _keys_and_values(before: str, middle: str, after: str, suffix: str = "") -> Form:
    key, value = f"arg_key{suffix}", f"arg_value{suffix}"
    return Form(
        f"{before}find{middle}<{key}>text</{key}>\n<{value}>",
        f"</{value}>{after}",
        f"</{value}>\n<{key}>a{{}}</{key}>\n<{value}>",
    )


def _functions(before: str, after: str) -> Form:
    return Form(
        f"{before}\n<function=find>\n<parameter=text>\n",
        f"\n</parameter>\n</function>\n{after}",
        "\n</parameter>\n<parameter=a{}>\n",
    )


def _dsml(space: str, block: str) -> Form:
    tag = f"｜DSML｜{space}"  # the model's own character
    return Form(
        f'<{tag}{block}>\n<{tag}invoke name="find">\n<{tag}parameter name="text" string="true">',
        f"</{tag}parameter>\n</{tag}invoke>\n</{tag}{block}>",
        f'</{tag}parameter>\n<{tag}parameter name="a{{}}" string="true">',
    )


def _invoke(before: str, after: str, tag: str = "") -> Form:
    return Form(
        f'{before}<{tag}invoke name="find">\n<{tag}parameter name="text">',
        f"</{tag}parameter>\n</{tag}invoke>{after}",
        f'</{tag}parameter>\n<{tag}parameter name="a{{}}">',
    )


def _python(before: str, after: str) -> Form:
    return Form(f'{before}find(text="', f'"){after}', '", a{}="')


_DEEPSEEK = ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", "<｜tool▁call▁end｜><｜tool▁calls▁end｜>")
_SEP = "<｜tool▁sep｜>"
_QWEN = _functions("<tool_call>", "</tool_call>")
_GLM = _keys_and_values("<tool_call>", "\n", "\n</tool_call>")
_HY = _keys_and_values("<tool_calls><tool_call>", "<tool_sep>", "</tool_call></tool_calls>")
_MINIMAX3 = "]<]minimax[>["
_PLAMO = "<|plamo:begin_tool_{}:plamo|>", "<|plamo:end_tool_{}:plamo|>"
_STEP3 = "<｜tool_{}｜>"

CALLS: dict[str, Form] = {
    "apertus": Form('<|tools_prefix|>[{"find": {"text": "', '"}}]<|tools_suffix|>'),
    "deepseek_v3": Form(f'{_DEEPSEEK[0]}function{_SEP}find\n```json\n{{"text": "', f'"}}\n```{_DEEPSEEK[1]}'),
    "deepseek_v31": Form(f'{_DEEPSEEK[0]}find{_SEP}{{"text": "', f'"}}{_DEEPSEEK[1]}'),
    "deepseek_v32": _dsml("", "function_calls"),
    "deepseek_v4": _dsml("", "tool_calls"),
    "deepseek_v41": _dsml(" ", "calls"),
    "dots": _invoke("<dots_function_call>\n", "\n</dots_function_call>"),
    "ernie45": _json("<tool_call>\n", "\n</tool_call>\n"),
    "functiongemma": Form(
        "<start_function_call>call:find{text:<escape>", "<escape>}<end_function_call>", "<escape>,a{}:<escape>"
    ),
    "gemma4": Form('<|tool_call>call:find{text:<|"|>', '<|"|>}<tool_call|>', '<|"|>,a{}:<|"|>'),
    "gigachat3": _json("<|function_call|>", ""),
    "glm45": _GLM,
    "glm47": _GLM,
    "granite": _json("<|tool_call|> [", "]"),
    "granite-20b-fc": _json("<function_call> ", ""),
    "granite4": _json("<tool_call>\n", "\n</tool_call>"),
    "hermes": _json("<tool_call>\n", "\n</tool_call>"),
    "hunyuan_a13b": _json("<tool_calls>[", "]</tool_calls>"),
    "hy_v3": _HY,
    "hy_v4": _HY,
    "inkling": _json("<|message_model|><|content_invoke_tool_json|>", "<|end_message|>", "args"),
    "internlm": _json("<|action_start|><|plugin|>\n", "<|action_end|>\n", "parameters"),
    "jamba": _json("<tool_calls>[\n", "\n]</tool_calls>"),
    "k2_horizon": _json("<ifm|tool_calls>\n<ifm|tool_call>", "</ifm|tool_call>\n</ifm|tool_calls>"),
    "kimi_k2": Form(
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.find:0<|tool_call_argument_begin|>{"text": "',
        '"}<|tool_call_end|><|tool_calls_section_end|>',
    ),
    "kimi_k3": Form(
        '<|open|>tools<|sep|><|open|>call tool="find" index="1"<|sep|><|open|>argument key="text" type="string"<|sep|>',
        "<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
        '<|close|>argument<|sep|><|open|>argument key="a{}" type="string"<|sep|>',
    ),
    "lfm2": _python("<|tool_call_start|>[", "]<|tool_call_end|>"),
    "ling3": _GLM,
    "llama3_json": _json("", "", "parameters"),
    "llama4_json": _json("<|python_tag|>", "", "parameters"),
    "llama4_pythonic": _python("<|python_start|>[", "]<|python_end|>"),
    "longcat": _json("<longcat_tool_call>\n", "\n</longcat_tool_call>"),
    "mimo": _QWEN,
    "minicpm5": Form('<function name="find"><param name="text">', "</param></function>", '</param><param name="a{}">'),
    "minimax_m2": _invoke("<minimax:tool_call>", "</minimax:tool_call>"),
    "minimax_m3": Form(
        f'{_MINIMAX3}<tool_call>\n{_MINIMAX3}<invoke name="find">\n{_MINIMAX3}<text>',
        f"{_MINIMAX3}</text>\n{_MINIMAX3}</invoke>\n{_MINIMAX3}</tool_call>",
        f"{_MINIMAX3}</text>\n{_MINIMAX3}<a{{}}>",
    ),
    "mistral": Form('[TOOL_CALLS]find[ARGS]{"text": "', '"}'),
    "muse_glimmer": _invoke(" to=find<|message|>\n<atem:function_calls>\n", "\n</atem:function_calls><|eom|>", "atem:"),
    "olmo3": _python("<function_calls>", "</function_calls>"),
    "openai": Form('<|channel|>commentary to=functions.find <|constrain|>json<|message|>{"text": "', '"}<|call|>'),
    "phi4_mini_json": _json("functools[", "]"),
    "plamo3": Form(
        f"{_PLAMO[0].format('requests')}{_PLAMO[0].format('request')}{_PLAMO[0].format('name')}find"
        f"{_PLAMO[1].format('name')}{_PLAMO[0].format('arguments')}<|plamo:constrain|>json<|plamo:msg|>"
        '{"text": "',
        f'"}}{_PLAMO[1].format("arguments")}{_PLAMO[1].format("request")}{_PLAMO[1].format("requests")}',
    ),
    "poolside_v1": _GLM,
    "pythonic": _python("[", "]"),
    "qwen3_coder": _QWEN,
    "qwen3_json": _json("<tool_call>\n", "\n</tool_call>"),
    "qwen3_xml": _QWEN,
    "seed_oss": _functions("<seed:tool_call>", "</seed:tool_call>"),
    "step3": Form(
        f"{_STEP3.format('calls_begin')}{_STEP3.format('call_begin')}function{_STEP3.format('sep')}"
        '<steptml:invoke name="find"><steptml:parameter name="text">',
        f"</steptml:parameter></steptml:invoke>{_STEP3.format('call_end')}{_STEP3.format('calls_end')}",
        '</steptml:parameter><steptml:parameter name="a{}">',
    ),
    "step3p5": _QWEN,
    "xlam": _json("[", "]"),
}
"""By the parser's name."""

_THINK = ("<think>\n", "\n</think>\n\n")
THOUGHTS: dict[str, tuple[str, str]] = {
    "deepseek_v3": _THINK,
    "gemma4": ("<|channel>thought\n", "<channel|>"),
    "granite": ("Here is my thought process: ", " Here is my response: "),
    "hunyuan_a13b": ("<think>\n", "\n</think>\n<answer>\n"),
    "inkling": ("<|message_model|><|content_thinking|>", "<|end_message|><|message_model|><|content_text|>"),
    "k2_horizon": ("<ifm|think>", "</ifm|think>"),
    "kimi_k3": ("<|open|>think<|sep|>", "<|close|>think<|sep|><|open|>response<|sep|>"),
    "minimax_m3": ("<mm:think>", "</mm:think>"),
    "mistral": ("[THINK]", "[/THINK]"),
    "muse_glimmer": (" to=self<|message|>", "<|eom|><|start|>assistant to=user<|message|>"),
    "openai_gptoss": ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    "plamo3": ("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),
    "seed_oss": ("<seed:think>", "</seed:think>"),
}
"""What opens and ends thoughts, by the parser's name; `<think>` for all others."""

NEEDED = (
    "｜DSML｜",
    "<assistant>",
    "<response>",
    "</response>",
    "<0x0A>",
    "[/THINK]",
    "<think>",
    "</think>",
    "<|turn>",
)
"""Marks that some parsers want in the vocabulary, and one whose characters are no tokens by themselves."""


def thoughts_of(name: str) -> tuple[str, str]:
    """How the model of this parser opens and ends its thoughts."""
    return THOUGHTS.get(name, _THINK)


def all_marks() -> list[str]:
    """For a vocabulary that suits all parsers."""
    found = [mark for form in CALLS.values() for mark in form.marks]
    for opening, end in THOUGHTS.values():
        found += Form(opening, end).marks
    return list(dict.fromkeys([*found, *NEEDED]))
