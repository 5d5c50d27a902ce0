"""Builders for the zoo's processes, found there by this module's name."""

import os
import time

import torch
from torch import nn

import nets
from mainstem.core import LoadError
from mainstem.models import Architecture, Small


def tells_process(architecture: Architecture) -> Small:
    """Says which process it was called in."""
    raise LoadError(f"process {os.getpid()}")


def sleeps(architecture: Architecture) -> Small:
    """Takes longer than anyone waits."""
    time.sleep(300)
    return plain(architecture)


def dies(architecture: Architecture) -> Small:
    """Takes its process down."""
    os._exit(7)


def plain(architecture: Architecture) -> Small:
    """A net without a stream."""
    return Small(nets.mlp(nn.GELU).eval(), (torch.randn(6, 8),), {})


def broken(architecture: Architecture) -> Small:
    """A net that cannot be run with its input."""
    return Small(nn.Linear(3, 3).eval(), (torch.randn(2, 4),), {})


def adds(architecture: Architecture) -> Small:
    """A net with a stream."""
    torch.manual_seed(0)
    return Small(nets.Tabular(features=5).eval(), (torch.randn(6, 5),), {})
