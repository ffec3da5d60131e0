"""What can go wrong with a dataset.

::

    DatasetError
    ├── NothingReviewed    no gold answers where some were asked for
    ├── TooMany            more rows, or datasets, than there may be
    ├── UnknownDataset     there is no such dataset
    ├── ErasedDataset      its rows are gone; ``rebuilt_as`` names what replaced it
    ├── DamagedDataset     its files are not those that were frozen
    ├── NoRoom             the disk is full
    └── Leak               what is tested on would be trained on: a fault of this program
"""

from __future__ import annotations


class DatasetError(Exception):
    """Root of the tree."""


class NothingReviewed(DatasetError):
    """No gold answers where some were asked for."""


class TooMany(DatasetError):
    """More rows, or datasets, than there may be."""


class UnknownDataset(DatasetError):
    """There is no such dataset."""


class ErasedDataset(DatasetError):
    """Its rows are gone.

    Attributes:
        rebuilt_as: the dataset without the persons that were erased; None when nothing was left.
    """

    def __init__(self, digest: str, rebuilt_as: str | None) -> None:
        instead = f"rebuilt as {rebuilt_as}" if rebuilt_as else "nothing of it was left"
        super().__init__(f"Dataset {digest} was erased: {instead}.")
        self.rebuilt_as = rebuilt_as


class DamagedDataset(DatasetError):
    """Its files are not those that were frozen."""


class NoRoom(DatasetError):
    """The disk is full."""


class Leak(DatasetError):
    """What is tested on would be trained on."""
