"""What is predicted, place by place, against closed forms: a token, alternatives, contrasts, sequences, padding."""

import pytest
import torch
from torch import Tensor

from mainstem.score import Goal

BATCH, POS, VOCAB = 3, 5, 11
TIGHT = {"rtol": 1e-13, "atol": 1e-13}


@pytest.fixture
def output() -> Tensor:
    return 4 * torch.randn(BATCH, POS, VOCAB, dtype=torch.float64)


def goal(ids: list[list[int]], against: list[list[int]] | None = None, **other: object) -> Goal:
    """One place a prompt, the last but one."""
    wanted = torch.tensor(ids).expand(BATCH, -1)
    held = None if against is None else torch.tensor(against).expand(BATCH, -1)
    made = {
        "places": torch.stack([torch.arange(BATCH), torch.full((BATCH,), POS - 2)], 1),
        "mask": torch.ones_like(wanted, dtype=torch.bool),
        "against_mask": None if held is None else torch.ones_like(held, dtype=torch.bool),
        "weights": torch.ones(BATCH),
        "owner": torch.arange(BATCH),
        "shape": (BATCH,),
    }
    return Goal(ids=wanted, against=held, text="", **made | other)


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, **TIGHT)


def scored(target: Goal, output: Tensor) -> Tensor:
    return target.total(target.value(target.logits(output)))


def test_a_token_is_its_log_probability(output):
    each = goal([[3], [0], [10]])
    close(scored(each, output), output.log_softmax(-1)[range(BATCH), POS - 2, [3, 0, 10]])


def test_alternatives_are_the_log_of_their_probabilities_sum(output):
    logp = output[:, POS - 2].log_softmax(-1)
    close(scored(goal([[3, 7, 1]]), output), logp[:, [3, 7, 1]].exp().sum(-1).log())
    close(scored(goal([list(range(VOCAB))]), output), torch.zeros(BATCH, dtype=torch.float64))


def test_a_contrast_is_the_difference_of_the_logits(output):
    row = output[:, POS - 2]
    close(scored(goal([[3]], [[7]]), output), row[:, 3] - row[:, 7])
    close(scored(goal([[3]], [[7]]), output), -scored(goal([[7]], [[3]]), output))


def test_a_contrast_of_alternatives_is_the_log_odds(output):
    p = output[:, POS - 2].softmax(-1)
    close(scored(goal([[3, 2]], [[7, 1, 0]]), output), (p[:, [3, 2]].sum(-1) / p[:, [7, 1, 0]].sum(-1)).log())
    close(scored(goal([[3]], [[3, 7]]), output), (p[:, 3] / p[:, [3, 7]].sum(-1)).log())


def test_nothing_changes_where_all_logits_are_moved(output):
    for target in (goal([[3]]), goal([[3, 7]]), goal([[3, 2]], [[7]])):
        close(scored(target, output + 100), scored(target, output))


def test_large_logits_do_not_overflow():
    logits = torch.tensor([[1e4, 0.0, -1e4]], dtype=torch.float64).expand(BATCH, POS, 3)
    close(scored(goal([[0, 1]], [[2]]), logits), torch.full((BATCH,), 2e4, dtype=torch.float64))
    close(scored(goal([[1]]), logits), torch.full((BATCH,), -1e4, dtype=torch.float64))


def test_a_place_with_fewer_alternatives(output):
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    found = scored(goal([[3, 7]], mask=mask), output)
    close(found[[0, 2]], scored(goal([[3, 7]]), output)[[0, 2]])
    close(found[1], scored(goal([[3]]), output)[1])
    turned = scored(goal([[0]], [[3, 7]], against_mask=mask), output)
    close(turned[1], scored(goal([[0]], [[3]]), output)[1])


def test_a_sequence_is_summed_over_its_places(output):
    sequence = Goal(
        places=torch.tensor([[0, 2], [0, 3], [1, 1], [2, 0], [2, 1]]),
        ids=torch.tensor([[4], [5], [6], [7], [8]]),
        mask=torch.ones(5, 1, dtype=torch.bool),
        against=None,
        against_mask=None,
        weights=torch.ones(5),
        owner=torch.tensor([0, 0, 1, 2, 2]),
        shape=(BATCH,),
        text="",
    )
    logp = output.log_softmax(-1)
    wanted = [logp[0, 2, 4] + logp[0, 3, 5], logp[1, 1, 6], logp[2, 0, 7] + logp[2, 1, 8]]
    close(scored(sequence, output), torch.stack(wanted))
    assert sequence.positions == (2, 1, 0)


def every(**other: object) -> Goal:
    """A token at every place."""
    places = torch.cartesian_prod(torch.arange(BATCH), torch.arange(POS))
    n = len(places)
    made = {"weights": torch.ones(n), "shape": (BATCH, POS)} | other
    return Goal(
        places, torch.full((n, 1), 3), torch.ones(n, 1, dtype=torch.bool), None, None, owner=torch.arange(n), text="", **made
    )


def test_padding_adds_nothing_even_where_it_is_no_number(output):
    weights = torch.ones(BATCH * POS)
    weights[[0, 1]] = 0
    output[0, :2] = torch.nan
    found = scored(every(weights=weights), output)
    close(found[0, 2:], output.log_softmax(-1)[0, 2:, 3])
    assert not bool(found[0, :2].any())
    assert every().positions is None


def test_an_output_of_one_position_and_one_without_positions(output):
    close(scored(goal([[3]]), output[:, POS - 2 : POS - 1]), scored(goal([[3]]), output))
    classes = goal([[3]], places=torch.arange(BATCH)[:, None])
    close(scored(classes, output[:, POS - 2]), scored(goal([[3]]), output))
    assert classes.positions is None
    assert goal([[3]]).positions == (POS - 2,) * BATCH


def test_several_sets_of_logits_at_once(output):
    target = goal([[3, 2]], [[7]])
    sets = torch.stack([target.logits(output), target.logits(2 * output)])
    found = target.total(target.value(sets))
    close(found, torch.stack([scored(target, output), scored(target, 2 * output)]))
