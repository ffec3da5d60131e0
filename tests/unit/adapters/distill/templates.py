"""Chat templates in the manner of well-known families, over the embedded base's tokens."""

from __future__ import annotations

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As Llama 2 and Mistral: no header before an answer, a space before the end mark.
INST = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + ' <|im_end|>' }}"
    "{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}"
)
# As Gemma: answers are trimmed, the role is called otherwise.
TRIMS = (
    "{% for m in messages %}{{ '<|im_start|>' + ('model' if m.role == 'assistant' else m.role)"
    " + '\n' + (m.content | trim) + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)
# As Qwen 3: an answer without a thought is written with an empty one.
THINKS = (
    "{% for m in messages %}{% if m.role == 'assistant' and loop.last %}"
    "{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' + m.content + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# What it opens an answer with is not what it writes of a past one.
OPENS_OTHERWISE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n\n</think>\n' }}"
    "{% endif %}"
)
# It ends no turn at all.
NO_END = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
ALL = {
    "chatml": CHATML,
    "inst": INST,
    "trims": TRIMS,
    "thinks": THINKS,
    "opens otherwise": OPENS_OTHERWISE,
    "no end": NO_END,
}
