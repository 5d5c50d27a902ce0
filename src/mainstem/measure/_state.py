"""What a measure has seen so far."""

from torch import Tensor

State = dict[str, Tensor]
COUNTS = ("tokens", "nan", "inf")  # what the entries of "counts" are


def tokens_of(state: State) -> Tensor:
    """How many tokens were counted, in float64. Parameters: `state`."""
    return state["counts"][0].double()


def inside(state: State, prefix: str) -> State:
    """The entries below a prefix, without it. Parameters: `state`; `prefix`."""
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


def below(prefix: str, state: State) -> State:
    """The entries with a prefix before them. Parameters: `prefix`; `state`."""
    return {f"{prefix}.{name}": value for name, value in state.items()}
