"""The model that a command was given."""

from typing import TYPE_CHECKING

from ._options import Dtype
from ._terminal import busy

if TYPE_CHECKING:
    from mainstem.api import Model


def opened(
    model: str, device: str | None, dtype: Dtype | None, revision: str | None, trust_remote_code: bool, pickles: bool
) -> "Model":
    """Loads the model.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`.
    """
    with busy(f"loading {model}"):
        from mainstem.api import load

        return load(
            model,
            device=device,
            dtype=dtype.value if dtype else None,
            revision=revision,
            trust_remote_code=trust_remote_code,
            pickles=pickles,
        )
