"""Runnable measurements, side by side, as ratios."""
