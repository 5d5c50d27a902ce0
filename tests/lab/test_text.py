"""Training on text: what is learned, watched, repeated bit for bit, and gone on with."""

import math
import subprocess
import sys

import pytest
import torch

import mainstem as ms
from mainstem.core import InputError
from mainstem.lab import Setup, Training
from mainstem.lab._text import text
from mainstem.lab._train_text import held_out_loss, train_text
from mainstem.lab._watch import looked

pytest.importorskip("accelerate", reason="the extra lab is not installed")
DATA = {"text": "facts", "tokenizer": "tiny", "length": 32, "tokens": 20_000, "kept": 2_000}
MODEL = {"d_model": 32, "n_layer": 2, "n_head": 4}


def setup(**training) -> Setup:
    return Setup("text", MODEL, DATA, Training(**{"steps": 30, "batch": 8, "lr": 3e-3, **training}))


def test_a_variant_learns_and_is_watched():
    found = train_text(setup(watch=10, clip=1.0), 0)
    assert found.numbers["eval_loss"] < found.numbers["train_loss"] < math.log(631)
    assert found.numbers["parameters"] == sum(p.numel() for p in found.model.parameters())
    assert found.numbers["tokens"] == 30 * 8 * 32
    names = {row.name for row in found.rows}
    assert names >= {"kurtosis", "rms", "eval_loss", "gradient_norm", "update_spread", "moment_spread", "second_moment_spread"}
    assert {row.step for row in found.rows} == {0, 10, 20, 30}


def test_untrained_kurtosis_is_the_closed_form():
    torch.manual_seed(0)
    model = ms.lab.Variant(ms.lab.VariantConfig(vocab_size=4000, n_positions=64, d_model=64, n_layer=3))
    ids = torch.randperm(4000)[: 62 * 64].view(62, 64)
    found = {row.site: row.value for row in looked(0, model.points(ids)) if row.name == "kurtosis"}
    assert list(found) == ["entry", "L0.resid_post", "L1.resid_post", "L2.resid_post"]
    assert all(value == pytest.approx(3 * 63 / 65, abs=0.06) for value in found.values())
    assert found["entry"] == pytest.approx(3 * 63 / 65, abs=6 * (24 / 64 / ids.numel()) ** 0.5)


def test_the_same_seed_gives_the_same_model_and_another_does_not():
    one, again, other = (train_text(setup(steps=3), seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["wte.weight"], other["wte.weight"])


def test_a_run_that_is_cut_short_goes_on_as_it_would_have(tmp_path):
    whole = train_text(setup(steps=6, checkpoint=3), 0, tmp_path / "whole").model.state_dict()
    half = Setup("text", MODEL, DATA, Training(steps=6, batch=8, lr=3e-3, checkpoint=3))

    import transformers

    class Stop(transformers.TrainerCallback):
        def on_save(self, args, state, control, **_):
            control.should_training_stop = True

    from mainstem.lab import _train_text as training

    made = training._callback
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "_callback", lambda *given: type("Both", (type(made(*given)), Stop), {})())
        cut = train_text(half, 0, tmp_path / "cut").model.state_dict()
    resumed = train_text(half, 0, tmp_path / "cut").model.state_dict()
    assert not torch.equal(cut["wte.weight"], whole["wte.weight"])
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_loss_is_that_of_the_logits():
    model = train_text(setup(steps=1), 0).model
    rows = text(**DATA).held_out
    with torch.no_grad():
        logits = model(rows).logits[:, :-1].double().log_softmax(-1)
    mean = -logits.gather(-1, rows[:, 1:, None]).mean()
    assert held_out_loss(model, rows) == pytest.approx(float(mean), rel=1e-5)


def test_clipping_shortens_the_step_of_sgd():
    lengths = {}
    for clip in (0.0, 1e-3):
        rows = train_text(setup(steps=1, watch=1, clip=clip, optimizer="sgd"), 0)
        lengths[clip] = rows.model.state_dict()["h.0.mlp.c_fc.weight"]
        assert next(row.value for row in rows.rows if row.name == "gradient_norm") > 0.1
    torch.manual_seed(0)
    start = ms.lab.Variant(rows.model.config).state_dict()["h.0.mlp.c_fc.weight"]
    assert (lengths[1e-3] - start).norm() < 0.1 * (lengths[0.0] - start).norm()


def test_models_are_kept_and_are_loaded_like_any_other(tmp_path):
    plan = ms.lab.Plan("kept", "?", "", "small", {"a, lane": setup(steps=2).with_({"model.d_embedding": 8})}, seeds=1)
    ms.lab.run(plan, out=tmp_path, models=True)
    code = f"import mainstem as ms; t = ms.load({str(tmp_path / 'models' / 'a-lane-seed0')!r}).trace('The capital of France is'); print(t.scores().error)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )  # where the lab was not opened before
    assert 0 <= float(done.stdout) < 1e-4
    with pytest.raises(InputError, match="models are kept in a folder"):
        ms.lab.run(plan, models=True)


def test_the_fact_text_is_told_twice_and_kept_apart():
    found = text(**DATA)
    assert found.train.shape[1] == found.held_out.shape[1] == 32
    assert found.vocabulary == 631 and int(found.train.max()) < 631
    kept = {tuple(row) for row in found.held_out.tolist()}
    assert not kept & {tuple(row) for row in found.train.tolist()}


def test_a_file_of_text_is_cut_at_its_end(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text("Once upon a time. " * 2000, encoding="utf-8")
    found = text(**DATA | {"text": str(path), "tokens": 5000})
    assert 100 < len(found.train) <= 5000 // 32 and len(found.held_out) > 0


@pytest.mark.parametrize(
    ("made", "says"),
    [(None, "no text .*: name 'facts' or a file"), (b"\xff\xfe", "no plain text in UTF-8"), (b"hi", "too short")],
)
def test_a_file_that_will_not_do_is_refused(tmp_path, made, says):
    path = tmp_path / "story.txt"
    if made is not None:
        path.write_bytes(made)
    with pytest.raises(InputError, match=says):
        text(**DATA | {"text": str(path)})
