"""Scripted policies for ``python -m gcrl_zoo.record --policy MODULE:FACTORY``: they may read the simulator's state."""
