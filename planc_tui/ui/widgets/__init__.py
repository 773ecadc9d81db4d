"""Textual widgets that repaint changed lines only."""
