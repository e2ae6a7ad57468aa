"""Chat templates in the forms that well-known model families use, each written for these tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """`tools`: it writes tools and takes their answers. `reasoning`: it has a place for earlier thoughts."""

    template: str
    tools: bool = False
    reasoning: bool = False


_SPLIT_THOUGHTS = """
{%- for m in messages %}{%- set text = m.content %}{%- if m.role == 'assistant' and '</think>' in text %}
{%- set text = text.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{{- '<|turn|>' ~ m.role ~ '\\n' ~ text ~ '<|end|>\\n' }}{%- endfor %}
{{- '<|turn|>assistant\\n<think>\\n' if add_generation_prompt }}"""

_LAST_QUESTION = """
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{%- if m.role == 'user' and not (m.content.startswith('<tool_response>') and m.content.endswith('</tool_response>')) %}
{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- '<tools>' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}{{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- elif m.role == 'assistant' %}{%- set content = m.content %}{%- set thought = '' %}
{%- if m.reasoning_content is string %}{%- set thought = m.reasoning_content %}
{%- elif '</think>' in content %}
{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{%- if loop.index0 > ns.last and (loop.last or thought) %}
{{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
{%- else %}{{- '<|im_start|>assistant\\n' + content }}{%- endif %}
{%- for call in m.tool_calls or [] %}{{- '\\n<tool_call>\\n{"name": "' ~ call.function.name ~ '", "arguments": ' }}
{{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif m.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"""  # noqa: E501

_SWITCHED = """[gMASK]<sop>
{%- macro visible(content) %}{%- if content is string %}{{- content }}{%- else %}
{%- for part in content if part.type == 'text' %}{{- part.text }}{%- endfor %}{%- endif %}{%- endmacro %}
{%- for m in messages %}
{%- if m.role == 'user' %}<|user|>
{{ visible(m.content) }}
{{- '/nothink' if (enable_thinking is defined and not enable_thinking and not visible(m.content).endswith('/nothink')) else '' }}
{%- elif m.role == 'assistant' %}<|assistant|>
{%- set text = visible(m.content) %}{%- if '</think>' in text %}
{%- set thought = ((text.split('</think>')|first).split('<think>')|last).strip('\\n') %}
{%- set text = (text.split('</think>')|last).strip('\\n') %}{%- endif %}
{{- '\\n<think></think>' }}{%- if text.strip() %}{{ '\\n' + text.strip() }}{%- endif %}
{%- elif m.role == 'system' %}<|system|>
{{ visible(m.content) }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{{- '\\n<think></think>' if (enable_thinking is defined and not enable_thinking) else '' }}{%- endif %}"""  # noqa: E501

_SYSTEM_SWITCH = """
{%- set ns = namespace(on=true, system='') %}
{%- if messages[0].role == 'system' %}{%- if '/no_think' in messages[0].content %}{%- set ns.on = false %}{%- endif %}
{%- set ns.system = messages[0].content.replace('/no_think', '').replace('/think', '').strip() %}{%- set messages = messages[1:] %}{%- endif %}
{{- bos_token ~ '<SPECIAL_10>System\\n' ~ ns.system }}
{%- for m in messages %}{%- if m.role == 'user' %}
{%- if '/no_think' in m.content %}{%- set ns.on = false %}{%- elif '/think' in m.content %}{%- set ns.on = true %}{%- endif %}
{{- '\\n<SPECIAL_11>User\\n' ~ m.content.replace('/think', '').replace('/no_think', '').strip() ~ '\\n' }}
{%- elif m.role == 'assistant' %}{{- '<SPECIAL_11>Assistant\\n' ~ m.content.split('</think>')[-1].strip() ~ '\\n<SPECIAL_12>' }}{%- endif %}
{%- endfor %}{{- '<SPECIAL_11>Assistant\\n' ~ ('<think>\\n' if ns.on else '<think></think>') }}"""  # noqa: E501

_EFFORT = """{{- '<|start|>system<|message|>' }}
{{- 'Current date: ' ~ strftime_now('%Y-%m-%d') ~ '\\n\\nReasoning: ' ~ (reasoning_effort or 'medium') ~ '<|end|>' }}
{%- if messages[0].role == 'system' %}{{- '<|start|>developer<|message|># Instructions\\n\\n' ~ messages[0].content ~ '<|end|>' }}
{%- set messages = messages[1:] %}{%- endif %}
{%- for m in messages %}{%- if m.role == 'assistant' %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}
{%- else %}{{- '<|start|>' ~ m.role ~ '<|message|>' ~ m.content ~ '<|end|>' }}{%- endif %}{%- endfor %}{{- '<|start|>assistant' }}"""  # noqa: E501

_PYTHONIC = """{{- bos_token }}{%- set system = messages[0].content | trim if messages[0].role == 'system' else '' %}
{%- if messages[0].role == 'system' %}{%- set messages = messages[1:] %}{%- endif %}
{{- '<|header|>system<|/header|>\\n\\n' ~ system }}
{%- if tools %}{{- '\\n\\nYou may call:\\n' }}{%- for t in tools %}{{- t | tojson(indent=4) }}{{- '\\n\\n' }}{%- endfor %}{%- endif %}{{- '<|eot|>' }}
{%- for m in messages %}
{%- if m.role in ('tool', 'ipython') %}{{- '<|header|>ipython<|/header|>\\n\\n' }}{{- m.content | tojson if m.content is mapping else m.content }}{{- '<|eot|>' }}
{%- elif 'tool_calls' in m and m.tool_calls %}{%- set call = m.tool_calls[0].function %}
{{- '<|header|>assistant<|/header|>\\n\\n' }}{{- '[' + call.name + '(' }}
{%- for name, value in call.arguments.items() %}{{- name + '=' ~ value | tojson }}{{- ', ' if not loop.last }}{%- endfor %}{{- ')]<|eot|>' }}
{%- else %}{{- '<|header|>' + m.role + '<|/header|>\\n\\n' + m.content | trim + '<|eot|>' }}{%- endif %}{%- endfor %}
{{- '<|header|>assistant<|/header|>\\n\\n' if add_generation_prompt }}"""  # noqa: E501

_LAST_SYSTEM = """{{- bos_token }}{%- set system = messages[0].content if messages[0].role == 'system' else '' %}
{%- set rest = messages[1:] if system else messages %}
{%- for m in rest %}{%- if m.role == 'user' %}
{{- '[INST]' ~ (system ~ '\\n\\n' if loop.last and system else '') ~ m.content ~ '[/INST]' }}
{%- elif m.role == 'assistant' %}{{- ' ' ~ m.content | trim ~ eos_token }}{%- else %}{{ raise_exception('no ' ~ m.role) }}{%- endif %}{%- endfor %}"""  # noqa: E501

_PARTS_ALONE = """{%- for m in messages %}{{- '<|turn|>' ~ (m.role | upper) ~ ': ' }}
{%- for part in m.content | selectattr('type', 'equalto', 'text') %}{{- part.text }}{%- endfor %}
{{- '<|end|>\\n' }}{%- endfor %}{{- '<|turn|>ASSISTANT:' }}"""

_JOINED = """{{- ['<|open|>', messages | map(attribute='role') | join('/'), '<|close|>'] | join('') }}
{%- for m in messages %}{%- set head %}<|from|>{{ m.role | capitalize }}{% endset %}
{{- [head, m.content, '<|end|>'] | join('\\n') }}{%- endfor %}{%- filter trim %}  <|from|>Assistant  {%- endfilter %}"""

_LENGTHS = """{%- for m in messages %}{%- if m.content | length > 12 %}{{- '<|long|>' }}{%- endif %}
{{- '<|turn|>' ~ m.role ~ ':' ~ m.content[:5] ~ m.content[5:] }}{%- endfor %}{{- '<|turn|>assistant:' }}"""

FORMS = {
    "thoughts split off": Form(_SPLIT_THOUGHTS),
    "thoughts dropped before the last question": Form(_LAST_QUESTION, tools=True, reasoning=True),
    "a switch behind the question": Form(_SWITCHED),
    "a switch in the system text": Form(_SYSTEM_SWITCH),
    "effort and date in the system turn": Form(_EFFORT),
    "calls as code": Form(_PYTHONIC, tools=True),
    "the system text in the last question": Form(_LAST_SYSTEM),
    "contents in parts alone": Form(_PARTS_ALONE),
    "joined pieces": Form(_JOINED),
    "contents that are measured": Form(_LENGTHS),
}
