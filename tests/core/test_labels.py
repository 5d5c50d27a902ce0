"""Labels are written in one way and read in a few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.core import InputError, Label, parse_label

NUMBER = st.integers(0, 10**6)
STREAM = st.sampled_from(["", "dec.", "enc.", "s0."])
PLACES = st.one_of(
    st.just(()),
    NUMBER.map(lambda h: (("head", h),)),
    st.tuples(NUMBER, NUMBER).map(lambda p: (("head", p[0]), ("key_pos", p[1]))),
    st.tuples(NUMBER, NUMBER).map(lambda p: (("head", p[0]), ("dim", p[1]))),
    NUMBER.map(lambda n: (("neuron", n),)),
    st.tuples(NUMBER, NUMBER).map(lambda p: (("expert", p[0]), ("neuron", p[1]))),
)
WRITES = st.builds(
    "{}L{}.{}{}".format,
    STREAM,
    NUMBER,
    st.sampled_from(["attn", "mlp", "cross", "mixer", "conv"]),
    st.sampled_from(["", ".bias", ".B1", "2"]),
)
LABELS = st.tuples(WRITES, PLACES)


@given(LABELS)
def test_what_is_written_is_read(parts):
    label = Label(*parts)
    assert parse_label(str(label)) == label
    assert parse_label(f"  {label} ") == label
    assert str(parse_label(str(label))) == str(label)


@given(LABELS, LABELS)
def test_different_labels_are_written_differently(one, two):
    assert (str(Label(*one)) == str(Label(*two))) == (Label(*one) == Label(*two)) == (one == two)


@given(STREAM, NUMBER, NUMBER, NUMBER)
def test_short_forms(stream, block, index, key):
    assert parse_label(f"{stream}L{block}H{index}") == Label(f"{stream}L{block}.attn", (("head", index),))
    assert parse_label(f"{stream}L{block}N{index}") == Label(f"{stream}L{block}.mlp", (("neuron", index),))
    assert parse_label(f"{stream}L{block}E{key}N{index}") == Label(f"{stream}L{block}.mlp", (("expert", key), ("neuron", index)))
    assert parse_label(f"{stream}L{block}H{index}<-{key}") == Label(f"{stream}L{block}.attn", (("head", index), ("key_pos", key)))


@pytest.mark.parametrize(
    ("text", "write", "at"),
    [
        ("L3.attn", "L3.attn", ()),
        ("L3.attn.H7", "L3.attn", (("head", 7),)),
        ("L3.attn.H7<-5", "L3.attn", (("head", 7), ("key_pos", 5))),
        ("L3.attn.H7.D12", "L3.attn", (("head", 7), ("dim", 12))),
        ("L3.mlp.N120", "L3.mlp", (("neuron", 120),)),
        ("L3.mlp.E4.N120", "L3.mlp", (("expert", 4), ("neuron", 120))),
        ("L3.mlp.B1.N2", "L3.mlp.B1", (("neuron", 2),)),
        ("dec.L2.cross.H1", "dec.L2.cross", (("head", 1),)),
        ("L3.attn.bias", "L3.attn.bias", ()),
        ("entry.embed", "entry.embed", ()),
        ("L3.resid_post", "L3.resid_post", ()),
    ],
)
def test_the_labels_of_the_guide(text, write, at):
    assert parse_label(text) == Label(write, at)
    assert str(Label(write, at)) == text


@pytest.mark.parametrize("text", ["", "   ", "7", "<-5", ".attn", "-L3", "\n"])
def test_what_is_no_label(text):
    with pytest.raises(InputError, match="is not a component's label. Labels look like L3.attn"):
        parse_label(text)
