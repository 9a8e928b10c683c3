"""``python -m sandbox_sapb1``: the same as the command ``sandbox-sapb1``."""

from sandbox_sapb1.cli import main

if __name__ == "__main__":
    main()
