"""What tests need that run on a CUDA device alone."""

import warnings
from contextlib import contextmanager

import pytest
import torch

__all__ = ["needs_cuda", "waiting_raises"]

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@contextmanager
def waiting_raises():
    """A RuntimeError as soon as the host asks the device for something."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        try:
            torch.cuda.set_sync_debug_mode("error")
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
