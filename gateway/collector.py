"""Python's cyclic garbage collector, set for a server.

The defaults suit scripts: a collection for every 700 objects that stay, now and then a walk over all there is, which
here is mostly schemas and syntax trees that live as long as the process. A request makes hundreds of objects, most of
them gone by reference count before any collection looks. Measured on the four-subgraph benchmark query: a fifth of the
CPU.
"""

import gc

_THRESHOLDS = (50_000, 20, 50)  # the young generation holds some 5 MB between two collections


def tune() -> None:
    """Collect less often. For the command that serves; tests and libraries leave the process as it is."""
    gc.set_threshold(*_THRESHOLDS)


def settle() -> None:
    """Leave what is there now out of later collections; to be called again when a large part of it was replaced.

    What was left out before is looked at once more, so that a replaced schema does not stay for ever. Takes tens of
    milliseconds.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
