"""The one exception that a user is meant to read."""


class LorapError(Exception):
    """A fault of input, settings or machine, told in one line.

    The line names the file, key or layer, what was expected and what to do. The command line prints it without a
    traceback and exits with 1; anything else that escapes is a bug of lorap.
    """
