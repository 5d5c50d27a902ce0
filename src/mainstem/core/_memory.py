"""What was freed, given back to the system."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Gives memory back that is not used any more: what waits for the collector of cycles, and what the C library keeps after it was freed.

    The second is of glibc, which holds on to a gigabyte after a proof in float64; elsewhere it is left as it is.
    """
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
