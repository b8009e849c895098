"""
A method that is a subclass of SB3's ``PPO``: the files that its author would add, and nothing else.

``tests.support.throw_away.add_method_of_ppo`` copies them to their places in a copy of the repository.
"""
