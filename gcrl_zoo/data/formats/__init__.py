"""The formats of datasets: a reader for each, and the writers of our own and of Minari."""
