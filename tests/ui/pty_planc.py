"""The command itself, for tests that give it a terminal of its own."""

from planc_tui.cli import main

if __name__ == "__main__":
    main()
