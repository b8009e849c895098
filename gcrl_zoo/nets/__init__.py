"""Networks: plain torch modules that know nothing of environments, datasets or algorithms."""
