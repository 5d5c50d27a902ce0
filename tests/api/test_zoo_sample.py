"""Twenty-five architectures that together have every mechanism, each closed."""

import pytest

from mainstem.api import load
from mainstem.models import architectures, small

SAMPLE = {
    "CohereForCausalLM": "two writes in one sum",
    "ZayaForCausalLM": "sums in two steps, scaled",
    "MptForCausalLM": "no biases, positions in the scores",
    "Olmo2ForCausalLM": "norms after the block, before the addition",
    "Gemma3ForCausalLM": "norms before and after, window and full attention",
    "MiniMaxForCausalLM": "a scaled stream, linear attention",
    "DogeForCausalLM": "a stream with weights of its own",
    "AlbertForMaskedLM": "one block called many times",
    "HrmTextForCausalLM": "loops over blocks",
    "Mamba2ForCausalLM": "state space",
    "FalconH1ForCausalLM": "attention beside a state space",
    "ZambaForCausalLM": "shared blocks fed with the entry again",
    "RwkvForCausalLM": "recurrence with mixing of places",
    "Qwen2MoeForCausalLM": "routed and shared experts",
    "DeepseekV3ForCausalLM": "latent attention, grouped routing",
    "GptOssForCausalLM": "sinks in the attention",
    "DeepseekV4ForCausalLM": "parallel copies of the stream, mixed",
    "BartForConditionalGeneration": "encoder, decoder, norms after the addition",
    "WhisperForConditionalGeneration": "sound into an encoder",
    "SwinForImageClassification": "windows, shifted, and merged patches",
    "ConvNextForImageClassification": "layer scale, stages",
    "RegNetForImageClassification": "projection shortcuts, activation after the addition",
    "CLIPForImageClassification": "a tower",
    "XLNetLMHeadModel": "places before rows",
    "BitNetForCausalLM": "a norm before the output weights",
}


def test_the_sample_is_of_twenty_five():
    assert len(SAMPLE) == 25


# torch's own: pooling of a tensor with views inside has no batching rule yet, and says that this is slow
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("name", SAMPLE)
def test_it_closes(name):
    found = [a for a in architectures() if a.name == name]
    if not found:
        pytest.skip(f"this release of transformers has no {name}")
    made = small(found[0])
    seen = load(made.module).verify(*made.args, **made.kwargs)
    assert seen.ok, str(seen)
