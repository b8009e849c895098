"""The memory of a store: columns that share slot numbers. Images lie compressed, everything else in arrays."""

from gcrl_zoo.data.columns.array import ArrayColumns
from gcrl_zoo.data.columns.base import PADDING, RESERVED, SLOT, Column
from gcrl_zoo.data.columns.frames import FrameColumn, is_frame
from gcrl_zoo.data.columns.table import Table

__all__ = ["PADDING", "RESERVED", "SLOT", "ArrayColumns", "Column", "FrameColumn", "Table", "is_frame"]
