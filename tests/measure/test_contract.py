"""What every measure keeps to, whatever it is: a new member of the registry is tested here with no line of its own."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.measure import Fused, Measure, Pair, State, _pieces, measure_named, measures, pairs

WIDTH, TOKENS = 12, 60
SITES = {**dict.fromkeys(measures(), 1), **dict.fromkeys(pairs(), 2)}
every_measure = pytest.mark.parametrize("name", sorted(SITES))
Sites = tuple[Tensor, ...]


def sites(name: str, tokens: int = TOKENS, dtype: torch.dtype = torch.float64) -> Sites:
    """Values with ties, a large mean, and features of very different sizes."""
    size = torch.logspace(-2, 4, WIDTH, dtype=torch.float64)
    made = [(torch.randn(tokens, WIDTH, dtype=torch.float64) * 4).round() / 4 * size + 10 for _ in range(SITES[name])]
    return tuple(x.to(dtype) for x in made)


def everything(tokens: int) -> Tensor:
    return torch.ones(tokens, dtype=torch.bool)


def start(measure: Measure | Pair, name: str, device: str = "cpu") -> State:
    return measure.init(*[WIDTH] * SITES[name], device)


def seen(name: str, x: Sites, mask: Tensor | None = None, ids: Tensor | None = None) -> State:
    """The state of some tokens."""
    measure = measure_named(name)
    ids = torch.arange(len(x[0])) * 7 % 1000 if ids is None else ids
    return measure.update(start(measure, name), *x, everything(len(x[0])) if mask is None else mask, ids)


def numbers(name: str, state: State) -> dict[str, Tensor]:
    return measure_named(name).result(state)


def agree(one: dict[str, Tensor], other: dict[str, Tensor], rounding: float) -> bool:
    """The same names and, within a relative rounding of each number's largest entry, the same numbers."""
    if one.keys() != other.keys() or any(one[k].shape != other[k].shape for k in one):
        return False
    return all(close(one[key].double(), other[key].double(), rounding) for key in one)


def close(a: Tensor, b: Tensor, rounding: float) -> bool:
    scale = a[a.isfinite()].abs().max() if bool(a.isfinite().any()) else torch.zeros((), dtype=a.dtype)
    return torch.allclose(a, b, rtol=rounding, atol=float(scale) * rounding, equal_nan=True)


def tight(name: str) -> float:
    return measure_named(name).rounding


@every_measure
@pytest.mark.parametrize("cut", [0, 1, 17, 30, 59, 60])
def test_two_parts_merge_to_the_whole(name: str, cut: int):
    x, ids = sites(name), torch.arange(TOKENS) * 7 % 1000
    one, other = (seen(name, tuple(s[at] for s in x), None, ids[at]) for at in (slice(None, cut), slice(cut, None)))
    merged, measure = numbers(name, measure_named(name).merge(one, other)), measure_named(name)
    assert agree(merged, numbers(name, seen(name, x)), measure.rounding)
    assert agree(merged, numbers(name, measure.merge(other, one)), measure.rounding)


@every_measure
def test_parts_merge_in_any_grouping(name: str):
    x, merge = sites(name), measure_named(name).merge
    ids = torch.arange(TOKENS) * 7 % 1000
    a, b, c, d = (seen(name, tuple(s[i::4] for s in x), None, ids[i::4]) for i in range(4))
    whole = numbers(name, seen(name, x))
    assert agree(numbers(name, merge(merge(a, b), merge(c, d))), whole, tight(name))
    assert agree(numbers(name, merge(d, merge(merge(c, a), b))), whole, tight(name))


@every_measure
def test_the_order_of_tokens_does_not_matter(name: str):
    x, ids = sites(name), torch.arange(TOKENS) * 7 % 1000
    turn = torch.randperm(TOKENS)
    turned = seen(name, tuple(s[turn] for s in x), None, ids[turn])
    assert agree(numbers(name, turned), numbers(name, seen(name, x, None, ids)), tight(name))


@every_measure
@pytest.mark.parametrize("filler", [0.0, 1e30, float("nan"), float("inf")])
def test_masked_tokens_never_count(name: str, filler: float):
    x, mask, ids = sites(name), torch.rand(TOKENS) < 0.6, torch.arange(TOKENS)
    padded = tuple(torch.where(mask[:, None], s, filler) for s in x)
    kept = numbers(name, seen(name, tuple(s[mask] for s in x), None, ids[mask]))
    assert agree(numbers(name, seen(name, padded, mask, ids)), kept, tight(name))


@every_measure
@pytest.mark.parametrize("site", [0, 1])
def test_tokens_with_nan_or_inf_are_counted_and_left_out(name: str, site: int):
    if site >= SITES[name]:
        assert SITES[name] == 1
        return
    x, ids = sites(name), torch.arange(TOKENS)
    x[site][3, 5], x[site][20, 0], x[site][21, 11] = torch.nan, torch.inf, -torch.inf
    x[site][22, 1], x[site][22, 2] = torch.nan, torch.inf
    whole = x[site].isfinite().all(1)
    found = numbers(name, seen(name, x, None, ids))
    assert (int(found["nan"]), int(found["inf"]), int(found["tokens"])) == (2, 2, TOKENS - 4)
    clean = numbers(name, seen(name, tuple(s[whole] for s in x), None, ids[whole]))
    assert agree({**found, "nan": clean["nan"], "inf": clean["inf"]}, clean, tight(name))


@every_measure
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_agrees_with_float64_of_the_same_numbers(name: str, dtype: torch.dtype):
    x = tuple((s / 100).to(dtype) for s in sites(name))
    assert agree(numbers(name, seen(name, x)), numbers(name, seen(name, tuple(s.double() for s in x))), tight(name))


@every_measure
def test_no_token_gives_counts_of_zero_and_no_made_up_number(name: str):
    never = numbers(name, start(measure_named(name), name))
    empty = numbers(name, seen(name, sites(name, 0)))
    masked = numbers(name, seen(name, sites(name), torch.zeros(TOKENS, dtype=torch.bool)))
    assert float(never["tokens"]) == float(never["nan"]) == float(never["inf"]) == 0
    assert agree(never, empty, 0.0) and agree(never, masked, 0.0)
    assert not any(bool(value.isinf().any()) for value in never.values())
    held = [value for key, value in numbers(name, seen(name, sites(name))).items() if key in never and value.numel()]
    assert held and any(bool(value.isnan().any()) or value.numel() == 0 for value in never.values())


@every_measure
def test_results_are_float64_or_whole_numbers_on_the_device_of_the_state(name: str):
    state = seen(name, sites(name, dtype=torch.float16))
    assert all(isinstance(value, Tensor) for value in state.values())
    for key, value in numbers(name, state).items():
        assert value.dtype in (torch.float64, torch.int64) and value.device == state["counts"].device, key


@every_measure
def test_updating_looks_at_no_value_and_stays_on_the_device(name: str):
    measure = measure_named(name)
    x = tuple(torch.empty(TOKENS, WIDTH, device="meta", dtype=torch.float32) for _ in range(SITES[name]))
    mask, ids = torch.empty(TOKENS, dtype=torch.bool, device="meta"), torch.empty(TOKENS, dtype=torch.int64, device="meta")
    once = measure.update(start(measure, name, "meta"), *x, mask, ids)  # a meta tensor has no values: looking raises
    assert {value.device.type for value in measure.merge(once, once).values()} == {"meta"}


@every_measure
@pytest.mark.parametrize("numbers_of_a_piece", [1, WIDTH * 7, WIDTH * 24])
def test_how_tokens_are_cut_into_pieces_does_not_matter(name: str, numbers_of_a_piece: int, monkeypatch):
    x, mask = sites(name), torch.rand(TOKENS) < 0.9
    whole = numbers(name, seen(name, x, mask))
    monkeypatch.setattr(_pieces, "_CACHED", numbers_of_a_piece)
    assert agree(numbers(name, seen(name, x, mask)), whole, tight(name))


@every_measure
def test_states_are_plain_and_left_as_they_were(name: str, tmp_path):
    measure, x = measure_named(name), sites(name)
    first = seen(name, x)
    copy = {key: value.clone() for key, value in first.items()}
    later = measure.update(first, *x, everything(TOKENS), None)
    assert agree(first, copy, 0.0) and int(later["counts"][0]) == 2 * TOKENS
    torch.save(first, tmp_path / "state.pt")
    assert agree(torch.load(tmp_path / "state.pt", weights_only=True), first, 0.0)
    assert {k: (v.shape, v.dtype) for k, v in later.items()} == {k: (v.shape, v.dtype) for k, v in start(measure, name).items()}


@every_measure
def test_values_that_want_a_gradient_leave_no_graph(name: str):
    x = tuple(s.requires_grad_() for s in sites(name))
    assert not any(value.requires_grad for value in seen(name, x).values())


@every_measure
def test_a_measure_names_itself_and_refuses_choices_it_has_not(name: str):
    measure = measure_named(name)
    assert measure.name == name and measure.about.endswith(".") and measure_named(name, **measure.choices) == measure
    with pytest.raises(InputError, match="has no choice of wavelength; it takes"):
        measure_named(name, wavelength=3)


def test_a_measure_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match="no measure 'curtosis'; there are .*kurtosis"):
        measure_named("curtosis")


def test_measures_run_fused_as_they_run_alone(monkeypatch):
    monkeypatch.setattr(_pieces, "_CACHED", WIDTH * 7)  # several pieces for each update
    each = tuple(measure_named(name) for name in measures())
    fused = Fused(tuple(one for one in each if isinstance(one, Measure)))
    (x,), ids = sites("kurtosis"), torch.arange(TOKENS) * 7 % 1000
    half = [fused.update(fused.init(WIDTH), x[at], everything(30), ids[at]) for at in (slice(30), slice(30, None))]
    for one, found in zip(fused.measures, fused.result(fused.merge(*half)), strict=True):
        assert agree(found, numbers(one.name, seen(one.name, (x,))), one.rounding), one.name


@dataclass(frozen=True)
class Leaky(type(measure_named("kurtosis"))):
    """Counts masked tokens: planted."""

    def of(self, piece):
        piece.weight.fill_(1)
        piece.counted.fill_(True)
        return super().of(piece)


def test_a_planted_fault_is_told_apart():
    (x,), mask = sites("kurtosis"), torch.rand(TOKENS) < 0.6
    padded = torch.where(mask[:, None], x, 1e30)
    leaky = Leaky()
    found = leaky.result(leaky.update(leaky.init(WIDTH), padded, mask, None))
    assert not agree(found, numbers("kurtosis", seen("kurtosis", (x[mask],))), tight("kurtosis"))
