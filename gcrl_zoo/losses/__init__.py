"""Losses: plain torch, batch in, loss out."""
