"""``python -m sandbox_magento2``: the same command line as ``sandbox-magento2``."""

from sandbox_magento2.cli import main

if __name__ == "__main__":
    main()
