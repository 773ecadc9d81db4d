"""Tests of the console: text goldens, keys, bytes, and the terminal itself."""
