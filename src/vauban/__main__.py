"""`python -m vauban` is the command `vauban`."""

from vauban.cli import main

if __name__ == "__main__":
    main()
