"""The console: wiring, keys, panes, widgets and screens."""
