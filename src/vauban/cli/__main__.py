"""`python -m vauban.cli` is the command `vauban`, as `python -m vauban` is."""

from vauban.cli import main

if __name__ == "__main__":
    main()
