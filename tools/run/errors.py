"""The one exception that is meant for a person: its text is the whole message, no traceback is shown."""


class RunError(Exception):
    """Something outside of this program is not as it must be; the text says what, and what to do."""
