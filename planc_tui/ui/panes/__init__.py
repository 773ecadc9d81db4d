"""One file per pane; a pane is pure: it turns readings into rows and never touches Textual."""
