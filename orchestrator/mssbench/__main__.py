"""The command ``mssbench``, which is ``python -m mssbench`` as well."""

import signal


def main() -> None:
    """Import the command line and run it.

    While it is imported, SIGINT ends the process at once: the handler of Python would print a traceback.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # not where SIGINT is ignored, as in the background of a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as command_line

    signal.signal(signal.SIGINT, handler)
    command_line()


if __name__ == "__main__":
    main()
