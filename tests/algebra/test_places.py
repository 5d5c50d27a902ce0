"""A program made at one position of every prompt: what follows the product, number by number, is narrowed with it."""

import torch
import torch.nn.functional as F

from algebra._cases import double
from algebra.test_program import program
from mainstem.algebra import at_places


def test_what_follows_the_product_is_of_those_places_alone():
    """A soft cap is frozen at the logits it was made of, [batch, pos, vocab]: at one place it is that place's."""
    gain, weight, x = double(4), double(7, 4), double(2, 5, 4)

    def run(v):
        return torch.tanh(F.linear(v * gain, weight) / 3.0) * 3.0

    affine = program(run, (x,), [[((0,), -1)], [((0,), 0)], [((0,), 1)], [((0,), 2)], [((0,), 3)]])
    places = torch.tensor([3, 0])
    found = at_places(affine, 1, places, 5)
    want = torch.stack([run(x)[b, p] for b, p in enumerate(places.tolist())])[:, None]
    torch.testing.assert_close(found(x), want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.linear(x[None])[0], want, rtol=1e-12, atol=1e-12)
