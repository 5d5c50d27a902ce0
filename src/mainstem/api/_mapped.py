"""What of a model is asked for by what runs it."""

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from mainstem.find import StreamMap
from mainstem.models import Inputs, Loaded


class Mapped(ABC):
    """A module with maps of the forms of input that it was given. `loaded` is the module with its tokenizer or image processor."""

    loaded: Loaded

    @property
    def module(self) -> nn.Module:
        """The PyTorch module itself, unchanged."""
        return self.loaded.module

    @property
    def name(self) -> str:
        """What the model is called in results."""
        return self.loaded.name

    @abstractmethod
    def map_with(self, *args: Any, **kwargs: Any) -> StreamMap:
        """Maps the model on an input. Parameters: `args` and `kwargs`, what the module is called with."""

    @abstractmethod
    def _map_for(self, ready: Inputs) -> StreamMap:
        """The map for inputs of a form. Parameters: `ready`."""
