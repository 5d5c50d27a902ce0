"""Room `find` works on any module and knows none by name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from house._source import PACKAGE, plant, python_files

FAMILIES = (
    "gpt|gptj|neox|llama|bert|roberta|albert|t5|vit|resnet|mamba|mixtral|mistral|falcon|bloom|granite|gemma|opt|swin"
    "|convnext|deepseek|qwen|phi|cohere|olmo"
)
KEYS = (
    "hidden_size|num_attention_heads|num_key_value_heads|num_hidden_layers|n_head|n_embd|n_layer|c_attn|c_proj|q_proj"
    "|k_proj|v_proj|o_proj|out_proj|down_proj|up_proj|gate_proj|lm_head|embed_tokens|self_attn|wte|wpe|ln_1|ln_2|ln_f"
)

# Digits may follow a family (gpt2, gemma3) and anything but a letter may stand before it; `adopt` is not `opt`.
FORBIDDEN = re.compile(
    rf"(?<![a-z])(?:{FAMILIES})[0-9]*(?![a-z])"
    rf"|(?<![a-z0-9_])(?:{KEYS})(?![a-z0-9_])"
    r"|\.config\b|[a-z]_layernorm\b|['\"][^'\"\n]*\blayers?\.[^'\"\n]*['\"]",
    re.IGNORECASE,
)


def names_in(folder: Path) -> Iterator[str]:
    """Every place in a folder where a model is known by a name of its own."""
    for path in python_files(folder):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for match in FORBIDDEN.finditer(line):
                yield f"{path.name}:{number}: {match[0]!r} names a model; find the mechanism behind it"


def test_find_knows_no_model_by_name():
    assert python_files(PACKAGE / "find"), "room find is empty"
    assert not (faults := list(names_in(PACKAGE / "find"))), "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    "line",
    [
        "if 'GPT2' in type(module).__name__:",
        "# as in Llama",
        "kind = gpt_neox",
        "width = module.config.width",
        "hidden_size = 3",
        "module.self_attn",
        "name.endswith('o_proj')",
        "'input_layernorm'",
        "x = get('model.layers.0')",
        "OPTModel, opt = 1, 2",
        "t5",
        "wte",
    ],
)
def test_a_planted_name_is_caught(tmp_path, line):
    assert list(names_in(plant(tmp_path, {"find/a.py": line}) / "find"))


PLAIN = ["adopt = optional", "F.layer_norm(x)", "sapphire", "adapt5 = invite", "config = 1", "layers = [1]", "d_model"]


@pytest.mark.parametrize("line", PLAIN)
def test_plain_words_pass(tmp_path, line):
    assert not list(names_in(plant(tmp_path, {"find/a.py": line}) / "find"))
