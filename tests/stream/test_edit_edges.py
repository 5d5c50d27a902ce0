"""What a head takes from one key position, taken out: exactly the traced edge, in every kind of attention."""

import pytest
import torch

import mainstem as ms
from hard import HARD
from stream.test_edits import CLOSE, model
from zoo import ZOO

NAMES = ["gpt2", "llama", "falcon", "bert", "mixtral", "neox", "granite", "vit"]
EDGE = "L1.attn.H2<-1"


@pytest.mark.parametrize("label", ["L0.attn.H0<-0", EDGE, "L1H3<-4"])
@pytest.mark.parametrize("name", NAMES)
def test_a_zeroed_edge_takes_out_what_the_trace_says_it_is(name, label):
    made, data = model(name)
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero(label))
    write = "L0.attn" if "0.attn" in label else "L1.attn"
    edge = plain[label]
    assert float(edge.abs().max()) > 1e-8
    torch.testing.assert_close(edited[write], plain[write] - edge, **CLOSE)
    steered = plain[write] - edge
    whole = made.trace(data, edits=ms.patch(write, source=edited))
    torch.testing.assert_close(edited.logits, whole.logits, **CLOSE)
    torch.testing.assert_close(whole[write], steered, **CLOSE)
    assert float((edited.logits - plain.logits).abs().max()) > 1e-9
    assert edited.scores(1, "edge").error <= edited.scores(1, "edge").bound


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2"])
def test_all_key_positions_are_the_head(name):
    made, data = model(name)
    edges = ms.zero(*(f"L0.attn.H2<-{i}" for i in range(data.shape[1])))
    one, two = (made.trace(data, edits=e) for e in (edges, ms.zero("L0.attn.H2")))
    torch.testing.assert_close(one["L0.attn"], two["L0.attn"], **CLOSE)
    torch.testing.assert_close(one.logits, two.logits, **CLOSE)


def test_behind_a_norm_of_its_own_the_head_changes_by_it():
    """Gemma 2 norms what attention gives before it is added: the norm is live, what it reads changes by the edge."""
    made, data = model("gemma2")
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero(EDGE))
    want = plain.z(1).clone()
    values = made.trace(data, edits=ms.zero(*(f"L1.attn.H2<-{i}" for i in range(data.shape[1]) if i != 1))).z(1)[:, 2]
    want[:, 2] -= values
    torch.testing.assert_close(edited.z(1), want, **CLOSE)
    assert float(values.abs().max()) > 1e-6


def test_sinks_are_no_key_position():
    """A head with a sink gives some of its attention to nothing: what is left are its key positions all the same."""
    made, data = ms.load(HARD["gpt_oss"].build()[0]), torch.tensor([[3, 9, 1, 7, 2]])
    edges = ms.zero(*(f"L0.attn.H2<-{i}" for i in range(5)))
    one, two = (made.trace(data, edits=e)["L0.attn"] for e in (edges, ms.zero("L0.attn.H2")))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("by", [-1.0, 0.5, 3.0])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_scaling_at_one_query(name, by):
    made, data = model(name)
    plain, edited = made.trace(data), made.trace(data, edits=ms.scale(EDGE, by=by, positions=-1))
    want = plain["L1.attn"].clone()
    want[:, -1] += (by - 1) * plain[EDGE][:, -1]
    torch.testing.assert_close(edited["L1.attn"], want, **CLOSE)
    assert torch.equal(edited["L1.attn"][:, :-1], plain["L1.attn"][:, :-1])


def test_edges_of_several_heads_and_keys_add_up():
    made, data = model("gpt2")
    labels = ["L1.attn.H2<-1", "L1.attn.H2<-3", "L1.attn.H0<-1"]
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero(*labels))
    torch.testing.assert_close(edited["L1.attn"], plain["L1.attn"] - sum(plain[label] for label in labels), **CLOSE)
    both = made.trace(data, edits=ms.zero("L1.attn.H0") + ms.zero(*labels[:2]))
    want = plain["L1.attn"] - plain["L1.attn.H0"] - plain[labels[0]] - plain[labels[1]]
    torch.testing.assert_close(both["L1.attn"], want, **CLOSE)


def test_cross_attention_has_key_positions_of_the_encoder():
    module, _, kwargs = ZOO["t5"]()
    made = ms.load(module)
    ids, more = kwargs["input_ids"], {"decoder_input_ids": kwargs["decoder_input_ids"]}
    label = f"dec.L1.cross.H2<-{ids.shape[1] - 1}"
    plain, edited = made.trace(ids, **more), made.trace(ids, edits=ms.zero(label), **more)
    torch.testing.assert_close(edited["dec.L1.cross"], plain["dec.L1.cross"] - plain[label], rtol=1e-4, atol=1e-6)
    assert float(plain[label].abs().max()) > 1e-6


def test_gradients_flow_through_it():
    made, data = model("gpt2")
    weight = made.module.transformer.h[1].attn.c_attn.weight
    weight.requires_grad_(True)

    def score() -> torch.Tensor:
        return made.trace(data, edits=ms.zero(EDGE), grad=True).logits[0, -1, 3]

    (slope,) = torch.autograd.grad(score(), weight)
    with torch.no_grad():
        at, eps = (5, 64 + 16), 1e-6
        weight[at] += eps
        up = float(score())
        weight[at] -= 2 * eps
        down = float(score())
        weight[at] += eps
    assert float(slope[at]) == pytest.approx((up - down) / (2 * eps), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("L0.attn.H4<-0", "L0.attn.H4<-0 does not exist: this write has 4"),
        ("L0.attn.H0<-99", r"L0.attn.H0<-99 does not exist: there are \d+ key positions"),
        ("L0.mlp.H1<-0", "L0.mlp.H1<-0 does not exist: L0.mlp has neurons"),
        ("L0.atn.H1<-0", "Did you mean L0.attn"),
    ],
)
def test_edges_that_there_are_not(label, said):
    made, data = model("gpt2")
    with pytest.raises(ms.InputError, match=said):
        made.trace(data, edits=ms.zero(label))


def test_what_an_edge_is_not():
    made, data = model("gpt2")
    for edit in (ms.patch, ms.resample):
        with pytest.raises(ms.InputError, match="can be zeroed or scaled"):
            edit(EDGE, source=made.trace(data))
    with pytest.raises(ms.InputError, match="can be zeroed or scaled"):
        ms.load("tiny").means(["The capital of France is"], "L0.attn.H0<-1")
    folded, ids = model("bloom")
    with pytest.raises(ms.InputError, match="folds heads into the batch"):
        folded.trace(ids, edits=ms.zero(EDGE))


@pytest.mark.parametrize("other", [EDGE, "L1.attn.H2", "L1.attn"])
def test_an_edge_is_changed_once(other):
    made, data = model("gpt2")
    for edit in (ms.zero(EDGE) + ms.zero(other), ms.zero(other) + ms.scale(EDGE, by=2.0)):
        with pytest.raises(ms.InputError, match="contradict each other"):
            made.trace(data, edits=edit)
    twice = ms.zero(EDGE, positions=1) + ms.zero(EDGE, positions=2)
    plain = made.trace(data)
    got = made.trace(data, edits=twice)["L1.attn"]
    torch.testing.assert_close(got[:, 1:3], (plain["L1.attn"] - plain[EDGE])[:, 1:3], **CLOSE)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_a_token_is_the_same_whatever_the_padding(padding):
    """Each prompt of a padded batch is what it is alone: keys are counted in the prompts, as positions are."""
    tiny = ms.load("tiny", dtype=torch.float64)
    prompts, edit = ["The capital of France is", "One two three four five six seven eight nine"], ms.zero("L1.attn.H1<-3")
    both = tiny.trace(prompts, padding=padding, edits=edit)
    for row, prompt in enumerate(prompts):
        alone = tiny.trace(prompt, edits=edit)
        torch.testing.assert_close(both.logits[row, -1 if padding == "left" else alone.logits.shape[1] - 1], alone.logits[0, -1])
        assert float((alone.logits - tiny.trace(prompt).logits).abs().max()) > 1e-6
    edges = ms.zero(*(f"L1.attn.H{head}<-3" for head in range(2)))
    together = tiny.generate(prompts, tokens=3, edits=edges)
    assert together.ids == tuple(tiny.generate(prompt, tokens=3, edits=edges).ids[0] for prompt in prompts)
    with pytest.raises(ms.InputError, match=r"<-7 does not exist: prompt 0 has \d tokens"):
        tiny.trace(prompts, padding=padding, edits=ms.zero("L1.attn.H1<-7"))


def test_an_edge_is_not_steered():
    made, data = model("gpt2")
    with pytest.raises(ms.InputError, match="to steer what its head writes, steer the head"):
        made.trace(data, edits=ms.steer(torch.ones(8), at=EDGE))


@pytest.mark.parametrize("name", ["gpt2", "llama", "neox"])
def test_a_token_that_is_not_read_there_yet(name):
    """A causal head reads no later token: an edit of what it takes from one is refused, rather than made of nothing."""
    made, data = model(name)
    last = data.shape[1] - 1
    for positions in (0, [0, 2], [1 - last - 1]):
        with pytest.raises(ms.InputError, match=rf"H2<-3 at .*no prompt reads token 3 there.*; it is read at 3 to {last}"):
            made.trace(data, edits=ms.zero("L1.attn.H2<-3", positions=positions))
    plain = made.trace(data)
    for positions in (3, -1, [0, 3], [0, -1]):
        edited = made.trace(data, edits=ms.zero("L1.attn.H2<-3", positions=positions))
        want = plain["L1.attn"].clone()
        for at in [positions] if isinstance(positions, int) else positions:
            want[:, at] -= plain["L1.attn.H2<-3"][:, at]
        torch.testing.assert_close(edited["L1.attn"], want, **CLOSE)


def test_a_token_that_has_left_the_window():
    module = ZOO["gemma2"]()[0]
    module.config.sliding_window = window = 5
    data = torch.randint(0, 50, (1, window + 4), generator=torch.Generator().manual_seed(0))
    made = ms.load(module)
    with pytest.raises(ms.InputError, match=rf"it is read at 1 to {window}\."):
        made.trace(data, edits=ms.zero("L0.attn.H1<-1", positions=-1))


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_an_encoder_reads_every_token_everywhere(name):
    made, data = model(name)
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero("L1.attn.H2<-3", positions=0))
    want = plain["L1.attn"].clone()
    want[:, 0] -= plain["L1.attn.H2<-3"][:, 0]
    torch.testing.assert_close(edited["L1.attn"], want, **CLOSE)
    assert not torch.equal(edited["L1.attn"], plain["L1.attn"])


@pytest.mark.parametrize("padding", ["left", "right"])
def test_tokens_that_are_not_read_are_counted_in_the_prompts(padding):
    tiny = ms.load("tiny", dtype=torch.float64)
    prompts = ["The capital of France is", "One two three four five six seven eight nine"]
    edge = "L1.attn.H1<-4"
    with pytest.raises(ms.InputError, match=r"no prompt reads token 4 there.*; it is read at 4 to \d"):
        tiny.trace(prompts, padding=padding, edits=ms.zero(edge, positions=3))
    for positions in (4, -3):  # from the end, the longer prompt alone reads it there
        edited = tiny.trace(prompts, padding=padding, edits=ms.zero(edge, positions=positions))
        alone = tiny.trace(prompts[1], edits=ms.zero(edge, positions=positions))
        torch.testing.assert_close(edited.logits[1, -1 if padding == "left" else alone.logits.shape[1] - 1], alone.logits[0, -1])
    with pytest.raises(ms.InputError, match="no prompt reads token 4 there"):
        tiny.generate(prompts, tokens=2, edits=ms.zero(edge, positions=[0, 3]))
    assert tiny.generate(prompts, tokens=3, edits=ms.zero(edge, positions=4)).texts
