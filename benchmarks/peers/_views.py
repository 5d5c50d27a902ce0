"""What other tools draw of one prompt, as HTML files; runs in their environment and needs nothing of mainstem.

A notebook is what these tools write for. bertviz and circuitsvis give the same as text; what ecco displays is put into one file in
its order. A tool that fails is said to have failed, and with what.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SETTINGS = {
    "embedding": "transformer.wte.weight",
    "type": "causal",
    "activations": [r"mlp\.c_proj"],
    "token_prefix": "",
    "partial_token_prefix": "",
}


class Prompt:
    """A prompt, run. Parameters: `folder`, of a model of GPT-2's kind; `text`."""

    def __init__(self, folder: str, text: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
        self.text = text
        self.ids = self.tokenizer(text, return_tensors="pt")["input_ids"]
        self.tokens = [self.tokenizer.decode([i]) for i in self.ids[0].tolist()]
        with torch.no_grad():
            self.attentions = self.model(self.ids, output_attentions=True).attentions


def circuitsvis(prompt: Prompt, local: bool) -> str:
    """All heads of all layers. Parameters: `prompt`; `local`, with the script in the file."""
    from circuitsvis.attention import attention_patterns

    every = torch.cat([one[0] for one in prompt.attentions])
    made = attention_patterns(prompt.tokens, every)
    return made.local_src if local else made.cdn_src


def bertviz(prompt: Prompt, name: str) -> str:
    """All heads of all layers. Parameters: `prompt`; `name` of the view."""
    import bertviz as module

    return getattr(module, name)(prompt.attentions, prompt.tokens, html_action="return").data


def ecco(prompt: Prompt) -> str:
    """What every layer would predict after the prompt. Its `generate` does not run beside transformers 5; calling it does. Parameters: `prompt`."""
    import ecco as module
    from ecco import output

    shown: list[str] = []
    wraps = {"HTML": "{}", "Javascript": "<script>{}</script>"}
    output.d.display = lambda made, **_: shown.append(wraps.get(type(made).__name__, "{}").format(made.data))
    lm = module.LM(prompt.model, prompt.tokenizer, "default", SETTINGS, verbose=False, gpu=False)
    prompt.model.config.output_hidden_states = True
    lm(prompt.tokenizer(prompt.text, return_tensors="pt")).layer_predictions(position=len(prompt.tokens))
    return "\n".join(shown)


WAYS: dict[str, Callable[[Prompt], str]] = {
    "circuitsvis, script fetched": lambda prompt: circuitsvis(prompt, False),
    "circuitsvis, script inside": lambda prompt: circuitsvis(prompt, True),
    "bertviz, head view": lambda prompt: bertviz(prompt, "head_view"),
    "bertviz, model view": lambda prompt: bertviz(prompt, "model_view"),
    "ecco, layer predictions": ecco,
}


def main() -> None:
    """Writes a file for every way, and what became of each as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    prompt, found = Prompt(options.model, options.prompt), {}
    for number, (name, way) in enumerate(WAYS.items()):
        try:
            text = way(prompt)
        except Exception as error:  # whatever a peer raises is the finding
            found[name] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
            continue
        place = options.out / f"view{number}.html"
        place.write_text(f"<!doctype html><meta charset=utf-8><body>{text}", encoding="utf-8")
        found[name] = {"file": place.name}
    versions: dict[str, Any] = {}
    for name in ("circuitsvis", "bertviz", "ecco"):
        from importlib.metadata import PackageNotFoundError, version

        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    (options.out / "found.json").write_text(json.dumps({"found": found, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main()
