"""``python -m mssbench`` is the command ``mssbench``."""

from .cli import main

if __name__ == "__main__":
    main()
