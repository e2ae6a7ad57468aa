"""200 conversations with thoughts and tool calls: the ids are those of transformers' `apply_chat_template`."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.support.engine.installed_templates import installed_templates
from tests.support.engine.template_trials import TOOLS, Trial, outcome, with_tokens_of
from trivet.types.request import Message, ToolCall

# Thoughts of earlier turns are dropped, those since the last question kept, calls written as JSON, and a switch.
THINKING = """
{%- if tools %}{{ '<|im_start|>system\n' + messages[0].content + '\n<tools>' }}
{%- for tool in tools %}{{ '\n' + (tool | tojson) }}{%- endfor %}{{ '\n</tools><|im_end|>\n' }}
{%- else %}{{ '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- for m in messages[1:] %}{%- set place = loop.index0 + 1 %}
{%- if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}
{%- if m.reasoning_content is defined and m.reasoning_content and place > ns.last %}
{{- '<think>\n' + m.reasoning_content.strip('\n') + '\n</think>\n\n' }}{%- endif %}
{{- m.content or '' }}
{%- for call in m.tool_calls or [] %}{{ '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- (call.function.arguments | tojson) + '}\n</tool_call>' }}{%- endfor %}{{ '<|im_end|>\n' }}
{%- elif m.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}
{%- else %}{{ '<|im_start|>user\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"""
WORDS = (
    "bicycle",
    "Sunday?",
    "at 9",
    "& 10",
    "für",
    "dich",
    "漢字",
    "e\u0301",
    "👩‍👩‍👧",
    "it's",
    "12 %",
    "(two)",
    "\n\n",
    "{}",
    '"a"',
)
FAMILIES = 4  # of real templates, those with thoughts and tools


def conversation(number: int) -> Trial:
    """One to four turns, each with thoughts or not, and up to two calls and their results before its answer."""
    draw = random.Random(number)

    def words(most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, most))).strip() or "yes"

    messages: list[Message] = []
    tools = TOOLS if draw.random() < 0.7 else ()
    for turn in range(turns := draw.randint(1, 4)):
        messages.append(Message("user", f"Tell me: {words(8)}"))
        for call in range(draw.randint(0, 2) if tools else 0):
            name = f"call{number:03}{turn}{call}"[:9]
            arguments = {"day": words(2), "gears": draw.randint(1, 21)}
            thought = words(6) if draw.random() < 0.5 else ""
            called = (ToolCall("find_bicycle", arguments, name),)
            messages.append(Message("assistant", "", thought, tool_calls=called))
            messages.append(Message("tool", f'{{"found": "{number}"}}', tool_call_id=name, name="find_bicycle"))
        if turn < turns - 1:
            messages.append(Message("assistant", words(8), words(6) if draw.random() < 0.6 else ""))
    variables = draw.choice(({}, {"enable_thinking": False}, {"enable_thinking": True}))
    return Trial(str(number), tuple(messages), tools=tools, variables=variables)


def test_the_conversations_are_of_all_kinds() -> None:
    made = [conversation(number) for number in range(200)]
    assert sum(any(m.reasoning for m in one.messages) for one in made) > 100
    assert sum(any(m.tool_calls for m in one.messages) for one in made) > 80
    assert sum(one.messages[-1].role == "tool" for one in made) > 40


def test_a_thinking_template(tmp_path: Path) -> None:
    files, reference = with_tokens_of(THINKING, tmp_path)
    counted = Counter(outcome(files, reference, conversation(number)) for number in range(200))
    assert counted == {"identical": 200}


def test_real_templates_with_thoughts_and_tools(tmp_path: Path) -> None:
    real = {
        name: text
        for name, text in installed_templates().items()
        if "tool_calls" in text and ("reasoning" in text or "think" in text)
    }
    assert len(real) >= FAMILIES, list(real)
    for place, (name, template) in enumerate(real.items()):
        files, reference = with_tokens_of(template, tmp_path / str(place))
        counted = Counter(outcome(files, reference, conversation(number)) for number in range(5))
        print(name, dict(counted))
        assert not counted["different"], name
        assert not counted["refused"], name
