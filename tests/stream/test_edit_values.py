"""Edits beyond zero: what each does to the tensor it is of, in models whose streams are laid out in different ways."""

import pickle
import re

import pytest
import torch
from torch import nn

import mainstem as ms
from stream.test_edits import CLOSE, model
from zoo import ZOO

MODELS = ["gpt2", "llama", "falcon", "bert", "mixtral", "resnet", "mamba"]
WRITES = {
    "gpt2": "L0.mlp",
    "llama": "L0.attn",
    "falcon": "L0.mlp",
    "bert": "L0.mlp",
    "mixtral": "L0.attn",
    "resnet": "L1.conv",
    "mamba": "L0.mixer",
}


def vector(trace: ms.api.Trace, label: str) -> torch.Tensor:
    """Numbers for every feature of a write."""
    found = trace[label]
    width = trace.stream.points[1].width if found.shape[-1] != trace.stream.points[1].width else found.shape[-1]
    return torch.randn(width, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def along(trace: ms.api.Trace, v: torch.Tensor, label: str) -> torch.Tensor:
    """A vector on the axis of features of a write."""
    value = trace[label]
    axis = next(i for i in reversed(range(value.ndim)) if value.shape[i] == len(v))
    return v.reshape([-1 if i == axis else 1 for i in range(value.ndim)])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("by", [-1.0, 0.0, 0.5, 3.0])
def test_scaling_a_write_multiplies_it(name, by):
    made, data = model(name)
    plain, edited = made.trace(data), made.trace(data, edits=ms.scale(WRITES[name], by=by))
    torch.testing.assert_close(edited[WRITES[name]], by * plain[WRITES[name]], **CLOSE)
    assert float((edited.logits - plain.logits).abs().max()) > 1e-9


@pytest.mark.parametrize("name", MODELS)
def test_steering_adds_the_vector_and_closes(name):
    made, data = model(name)
    plain = made.trace(data)
    v = vector(plain, WRITES[name])
    edited = made.trace(data, edits=ms.steer(v, at=WRITES[name], by=0.25))
    torch.testing.assert_close(edited[WRITES[name]], plain[WRITES[name]] + 0.25 * along(plain, v, WRITES[name]), **CLOSE)
    point = plain.stream.points[1].name
    moved = made.trace(data, edits=ms.steer(v, at=point))
    torch.testing.assert_close(moved.point(point, "sum"), plain.point(point, "sum") + along(plain, v, WRITES[name]), **CLOSE)
    found = moved.scores(1)
    assert found.error <= found.bound
    assert any(row.endswith(".edit") for row in found.frame()["component"].to_list())


def test_scaling_by_one_and_steering_by_nothing_change_nothing():
    made, data = model("gpt2")
    plain = made.trace(data).logits
    edit = ms.scale("L0.attn.H1", by=1) + ms.steer(torch.zeros(32), at="L0.resid_post")
    torch.testing.assert_close(made.trace(data, edits=edit).logits, plain, **CLOSE)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("label", ["L0.mlp", "L0.resid_post", "L1.attn.H2"])
def test_along_directions_only_their_span_is_changed(count, label):
    made, data = model("gpt2")
    plain = made.trace(data)
    before = plain.z(1)[:, 2] if "H2" in label else plain[label] if "mlp" in label else plain.point(label, "sum")
    rows = torch.randn(count, before.shape[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    rows = torch.cat([rows, rows[:1] * 2])  # one of them twice: the span is what counts
    basis = torch.linalg.qr(rows[:count].T)[0]
    for by in (0.0, 2.5):
        edit = ms.zero(label, along=rows) if by == 0 else ms.scale(label, by=by, along=rows)
        edited = made.trace(data, edits=edit)
        after = edited.z(1)[:, 2] if "H2" in label else edited[label] if "mlp" in label else edited.point(label, "sum")
        torch.testing.assert_close(after @ basis, by * before @ basis, **CLOSE)
        torch.testing.assert_close(after - after @ basis @ basis.T, before - before @ basis @ basis.T, **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "falcon"])
@pytest.mark.parametrize("positions", [0, -1, (1, 3), (-2, 0)])
def test_at_positions_other_places_stay(name, positions):
    made, data = model(name)
    length = data.shape[1]
    at = [p % length for p in ((positions,) if isinstance(positions, int) else positions)]
    rest = [i for i in range(length) if i not in at]
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero(WRITES[name], positions=positions))
    assert float(edited[WRITES[name]][:, at].abs().max()) == 0.0
    assert torch.equal(edited[WRITES[name]][:, rest], plain[WRITES[name]][:, rest])
    assert edited.scores(1).error <= edited.scores(1).bound


@pytest.mark.parametrize("padding", ["left", "right"])
def test_positions_are_those_of_the_text_whatever_the_padding(padding):
    made = ms.load("tiny")
    texts = ["The capital of", "The capital of France is"]
    alone = [made.trace(t, edits=ms.zero("L1.mlp", "L0.attn.H1", positions=(0, -1))).logits[0, -1] for t in texts]
    both = made.trace(texts, edits=ms.zero("L1.mlp", "L0.attn.H1", positions=(0, -1)), padding=padding)
    for row, want in enumerate(alone):
        last = int(both._inputs.last[row])
        torch.testing.assert_close(both.logits[row, last], want, rtol=1e-4, atol=1e-4)


def test_a_position_that_a_prompt_does_not_have():
    made, data = model("gpt2")
    length = data.shape[1]
    with pytest.raises(ms.InputError, match=f"there is no position {length}: prompt 0 has {length} tokens"):
        made.trace(data, edits=ms.zero("L0.mlp", positions=length))


@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon", "bert", "t5", "mixtral", "mamba"])
def test_patching_a_point_makes_all_that_follows_the_other_run(name):
    made, data = model(name)
    other = made.trace(data.flip(-1))
    point = other.stream.points[2].name
    edited = made.trace(data, edits=ms.patch(point, source=other))
    torch.testing.assert_close(edited.point(point, "sum"), other.point(point, "sum"), **CLOSE)
    if name not in ("t5",):  # where the decoder reads the encoder beside the stream, the rest is not the other run's
        torch.testing.assert_close(edited.logits, other.logits, **CLOSE)


@pytest.mark.parametrize("label", ["L0.mlp", "L1.attn.H2", "L0.mlp.N7", "L0", "L0-L1", "entry.embed"])
def test_patching_puts_in_what_the_other_run_had_and_with_itself_nothing(label):
    made, data = model("gpt2")
    plain, other = made.trace(data), made.trace(data.flip(-1))
    torch.testing.assert_close(made.trace(data, edits=ms.patch(label, source=plain)).logits, plain.logits, **CLOSE)
    edited = made.trace(data, edits=ms.patch(label, source=other))
    assert float((edited.logits - plain.logits).abs().max()) > 1e-9
    for one in {"L0": ("L0.mlp", "L0.attn"), "L0-L1": ("L0.mlp", "L1.attn")}.get(label, (label,)):
        torch.testing.assert_close(edited[one], other[one], **CLOSE)


def test_patching_at_positions_of_texts_of_different_lengths():
    made = ms.load("tiny")
    one, two = "The capital of France is", "So the capital of Italy is"
    plain, other = made.trace(one), made.trace(two)
    edited = made.trace(one, edits=ms.patch("L0.resid_post", source=other, positions=(-1, -2)))
    n, m = plain["L0.resid_post"].shape[1], other["L0.resid_post"].shape[1]
    assert n != m
    torch.testing.assert_close(edited["L0.resid_post"][0, -2:], other["L0.resid_post"][0, -2:])
    assert torch.equal(edited["L0.resid_post"][0, :-2], plain["L0.resid_post"][0, :-2])
    with pytest.raises(ms.InputError, match=f"was taken from {m} places and there are {n} here"):
        made.trace(one, edits=ms.patch("L0.resid_post", source=other))


def test_resampled_places_are_places_of_the_other_run_and_the_seed_says_which():
    made, data = model("gpt2")
    other = made.trace(data.flip(-1))
    edits = [ms.resample("L0.mlp", "L0.attn", source=other, seed=seed) for seed in (0, 0, 1)]
    runs = [made.trace(data, edits=edit) for edit in edits]
    held = other["L0.mlp"].flatten(0, 1)
    drawn = runs[0]["L0.mlp"].flatten(0, 1)
    which = torch.cdist(drawn, held).argmin(1)
    torch.testing.assert_close(drawn, held[which], **CLOSE)
    assert torch.equal(runs[0].logits, runs[1].logits)
    assert not torch.equal(runs[0].logits, runs[2].logits)
    torch.testing.assert_close(runs[0]["L0.attn"].flatten(0, 1), other["L0.attn"].flatten(0, 1)[which], **CLOSE)


def test_the_mean_is_that_of_the_data():
    tiny = ms.load("tiny")
    texts = ["The capital of", "The capital of France is Paris.", "Tom gave"]
    found = tiny.means(texts, "L1.mlp", "L0.attn.H1", "L0.mlp.N4", "L0.resid_post", batch_tokens=16)
    every = [tiny.trace(text) for text in texts]
    want = torch.cat([t["L1.mlp"][0] for t in every]).double().mean(0)
    torch.testing.assert_close(found.values["L1.mlp"].double(), want, rtol=1e-4, atol=1e-5)
    want = torch.cat([t.z(0)[0, 1] for t in every]).double().mean(0)
    torch.testing.assert_close(found.values["L0.attn.H1"].double(), want, rtol=1e-4, atol=1e-5)
    edited = tiny.trace(texts[0], edits=ms.mean("L1.mlp", over=found))
    torch.testing.assert_close(edited["L1.mlp"][0], found.values["L1.mlp"].expand(edited["L1.mlp"].shape[1], -1))
    assert found.count == sum(t["L1.mlp"].shape[1] for t in every)


def test_means_are_stored_and_of_one_model_only(tmp_path):
    tiny, default = ms.load("tiny"), ms.load("default")
    found = tiny.means(["The capital of France is"], "L1.mlp")
    found.save(tmp_path / "means.safetensors")
    again = ms.Means.load(tmp_path / "means.safetensors")
    assert torch.equal(again.values["L1.mlp"], found.values["L1.mlp"])
    assert (again.count, again.data, again.provenance) == (found.count, found.data, found.provenance)
    with pytest.raises(ms.InputError, match="these means are of other weights"):
        default.trace("Tom", edits=ms.mean("L1.mlp", over=again))
    with pytest.raises(ms.InputError, match=r"there is no mean of L0\.mlp"):
        tiny.trace("Tom", edits=ms.mean("L0.mlp", over=again))
    (tmp_path / "means.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ms.InputError, match="cannot be read"):
        ms.Means.load(tmp_path / "means.safetensors")


def by_hand(name: str, block: int, data: torch.Tensor) -> torch.Tensor:
    """Logits of GPT-2 in which one block's additions add to nothing."""
    made, _ = model(name)
    module = made.module
    stack = module.transformer
    x = stack.wte(data) + stack.wpe(torch.arange(data.shape[1]))
    for i, layer in enumerate(stack.h):
        keep = 0.0 if i == block else 1.0
        x = keep * x + layer.attn(layer.ln_1(x))[0]
        x = keep * x + layer.mlp(layer.ln_2(x))
    return module.lm_head(stack.ln_f(x))


@pytest.mark.parametrize("block", [0, 1])
def test_without_a_skip_is_a_model_written_without_it(block):
    made, data = model("gpt2")
    trace = made.trace(data, edits=ms.without_skip(f"L{block}"))
    torch.testing.assert_close(trace.logits, by_hand("gpt2", block, data), **CLOSE)
    found = trace.scores(3, "neuron")
    assert found.error <= found.bound
    torch.testing.assert_close(found.sum(), trace.logits[:, -1, 3], **CLOSE)
    before = [f"L{i}.mlp" for i in range(block)] + ["entry.embed"]
    whole = trace.scores(3)
    assert all(float(whole[label].abs().max()) == 0.0 for label in before), "what came before is no part of the end"


@pytest.mark.parametrize("name", ["llama", "falcon", "bert", "resnet", "resnet_inplace", "mixtral", "mamba"])
def test_without_skips_points_are_what_is_written_to_them(name):
    made, data = model(name)
    last = made.map.main.points[-1].block
    trace = made.trace(data, edits=ms.without_skip(f"L{last}"))
    for point in trace.stream.points:
        if point.block == last and point.stream is not None:
            want = sum(trace.run.write(w) for w in point.writes)
            torch.testing.assert_close(trace.point(point.name, "sum"), want.expand_as(trace.point(point.name, "sum")), **CLOSE)
    found = trace.scores(1)
    assert found.error <= found.bound


class Silent(nn.Module):
    """A chain of blocks that write nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def test_a_model_whose_blocks_write_nothing_says_the_same_of_everything_without_its_skip():
    net = Silent().double().eval()
    made, data = ms.load(net), torch.randn(16, 6, dtype=torch.float64)
    made.trace(data)
    with torch.no_grad():
        for block in net.blocks:
            block[3].weight.zero_(), block[3].bias.zero_()
    plain, edited = made.trace(data).logits, made.trace(data, edits=ms.without_skip("L1")).logits
    torch.testing.assert_close(edited, net.last.bias.detach().expand(16, 3), **CLOSE)
    assert float(plain.std(0).min()) > 0.01


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (ms.zero("L0.mlp") + ms.scale("L0.mlp.N3", by=2), "two edits of L0.mlp.N3 contradict each other|two edits of L0.mlp"),
        (ms.scale("L0.attn.H1", by=2) + ms.zero("L0"), "contradict each other: scale L0.attn.H1 by 2, and zero L0"),
        (ms.steer(torch.ones(32), at="L0.mlp") + ms.zero("L0.mlp"), "contradict each other"),
        (ms.scale("L0.mlp", by=2, positions=(0, 1)) + ms.zero("L0.mlp", positions=1), "contradict each other"),
        (ms.zero("L0.mlp") + ms.scale("L0.mlp", by=2), "contradict each other"),
        (ms.zero("L7"), "no block 'L7' in this model; there are L0 to L1"),
        (ms.zero("L1-L7"), "no block 'L1-L7' in this model; there are L0 to L1"),
        (ms.zero("L0.atn"), "Did you mean L0.attn"),
        (ms.without_skip("entry.pos"), "is where the stream begins"),
        (ms.without_skip("L0.attn.H1"), "is added by L0.attn"),
        (ms.steer(torch.ones(31), at="L0.mlp"), "L0.mlp has 32 features; a vector of 31 does not fit"),
        (ms.zero("L0.mlp", along=torch.ones(31)), "L0.mlp has 32 features; a vector of 31 does not fit"),
    ],
)
def test_edits_that_cannot_be_made(edit, said):
    made, data = model("gpt2")
    with pytest.raises(ms.InputError, match=said):
        made.trace(data, edits=edit)


@pytest.mark.parametrize(
    "edit",
    [
        ms.zero("L0.mlp") + ms.zero("L0.mlp"),
        ms.zero("L0.mlp", positions=0) + ms.scale("L0.mlp", by=2, positions=1),
        ms.zero("L0.attn.H1") + ms.zero("L0.attn.H2"),
        ms.zero("L0.mlp") + ms.steer(torch.ones(32), at="L0.mlp"),
    ],
)
def test_edits_that_can_be_made_together(edit):
    made, data = model("gpt2")
    assert made.trace(data, edits=edit).scores(3).error < 1e-9


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ms.scale("L0.mlp", by=float("nan")), "by is a finite number"),
        (lambda: ms.scale("L0.mlp", by="2"), "by is a finite number"),
        (lambda: ms.steer(torch.ones(2, 2), at="L0.mlp"), "one row of numbers"),
        (lambda: ms.steer(torch.tensor([1.0, float("nan")]), at="L0.mlp"), "one row of numbers"),
        (lambda: ms.zero("L0.mlp", positions=()), "positions are whole numbers"),
        (lambda: ms.zero("L0.mlp", positions=1.5), "positions are whole numbers|not iterable"),
        (lambda: ms.zero("L0.mlp", along=torch.zeros(3)), "directions are rows of numbers that are not all zero"),
        (lambda: ms.zero(3), "name what to zero"),
        (lambda: ms.patch("L0.mlp", source="text"), "source is the trace of another input"),
        (lambda: ms.mean("L0.mlp", over=3), "means are what model.means"),
    ],
)
def test_edits_that_are_none(make, said):
    with pytest.raises(ms.InputError, match=said):
        make()


def test_every_edit_prints_and_travels():
    made, data = model("gpt2")
    other = made.trace(data.flip(-1))
    edit = (
        ms.zero("L0.attn.H1", positions=-1)
        + ms.scale("L1.mlp", by=0.5)
        + ms.steer(torch.ones(32), at="L0.resid_post", by=0.1)
        + ms.patch("L1.attn", source=other)
        + ms.without_skip("L1.mlp")
    )
    assert str(edit) == (
        "zero L0.attn.H1 at -1 + scale L1.mlp by 0.5 + steer L0.resid_post by 0.1 x |5.657| + patch L1.attn + "
        "without the skip of L1.mlp"
    )
    again = pickle.loads(pickle.dumps(edit))
    assert str(again) == str(edit)
    assert torch.equal(made.trace(data, edits=again).logits, made.trace(data, edits=edit).logits)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_gradients_reach_what_is_put_in(name):
    made, data = model(name)
    v = (
        0.1 * torch.randn(32 if name != "none" else 0, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ).requires_grad_()

    def said(x: torch.Tensor) -> torch.Tensor:
        edit = ms.steer(x, at=WRITES[name], by=2.0, positions=(1, -1)) + ms.scale("L1.mlp", by=0.5)
        return made.trace(data, edits=edit, grad=True).logits.flatten()[:5].sum()

    said(v).backward()
    for i in (0, 7, 31):
        step = torch.zeros_like(v)
        step[i] = 1e-5
        numeric = (said((v + step).detach()) - said((v - step).detach())) / 2e-5
        torch.testing.assert_close(v.grad[i], numeric.detach(), rtol=1e-5, atol=1e-8)


HUGE = {
    "a write": ms.scale("L1.mlp", by=1e30),
    "a point": ms.scale("L0.resid_post", by=-1e38),
    "a head": ms.scale("L0.attn.H0", by=1e38),
    "beyond float32": ms.scale("L1.mlp", by=1e300),
    "a neuron": ms.scale("L0.mlp.N3", by=1e38),
    "along": ms.scale("L0.resid_post", by=1e30, along=torch.arange(1.0, 33.0)),
    "a vector": ms.steer(torch.full((32,), 1e38), at="L0.resid_post"),
    "a vector times": ms.steer(torch.ones(32), at="L0.resid_post", by=1e30, positions=-1),
}


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])  # an RMS norm makes zeros of what is too large: no NaN would tell
@pytest.mark.parametrize("what", HUGE)
def test_an_edit_that_makes_numbers_overflow_is_blamed_for_it(name, what):
    module, args, kwargs = ZOO[name]()
    made, ids = ms.load(module), (args or tuple(kwargs.values()))[0]
    edit = HUGE[what]
    with pytest.raises(ms.InputError, match=rf"^{re.escape(str(edit))} makes numbers overflow.*float32.*smaller factor"):
        made.trace(ids, edits=edit)
    with made.edited(edit), pytest.raises(ms.InputError, match="makes numbers overflow"):
        made.trace(ids)
    if name != "bert":
        for temperature in (0.0, 1.0):
            with pytest.raises(ms.InputError, match="makes numbers overflow"):
                made.generate(ids, tokens=2, edits=edit, temperature=temperature)
    assert bool(made.trace(ids, edits=ms.scale("L1.mlp", by=1e6)).logits.isfinite().all())


def test_what_overflows_behind_an_edit_is_said_too():
    """Nothing is too large where the edit is, but what follows multiplies it until it is."""
    made, ids = ms.load(_Product(8)), torch.tensor([[3, 9, 1, 7]])
    with pytest.raises(ms.InputError, match=r"with scale L0\.mlp by 1e\+12 the stream holds numbers that are none .*float32"):
        made.trace(ids, edits=ms.scale("L0.mlp", by=1e12))
    with pytest.raises(ms.InputError, match=r"with scale L0\.mlp by 1e\+12 the model predicts nothing"):
        made.generate(ids, tokens=2, edits=ms.scale("L0.mlp", by=1e12))
    assert bool(made.trace(ids, edits=ms.scale("L0.mlp", by=2.0)).logits.isfinite().all())


def test_float64_holds_more():
    made, data = model("llama")
    edited = made.trace(data, edits=ms.scale("L1.mlp", by=1e30))
    assert bool(edited.logits.isfinite().all())
    assert float(edited["L1.mlp"].abs().max()) > 1e26


@pytest.mark.parametrize("by", [float("inf"), float("-inf"), float("nan")])
def test_a_factor_is_finite(by):
    with pytest.raises(ms.InputError, match=f"by is a finite number, not {by}"):
        ms.scale("L1.mlp", by=by)
    with pytest.raises(ms.InputError, match=f"by is a finite number, not {by}"):
        ms.steer(torch.ones(32), at="L1.mlp", by=by)


class _Product(nn.Module):
    """A stream without norms whose second block cubes what it reads, again and again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(16, width), nn.Linear(width, 16, bias=False)
        self.first, self.second = (nn.Linear(width, width) for _ in range(2))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids)
        x = x + self.first(x.tanh())
        return self.head(x + self.second(x * x * x * x))
