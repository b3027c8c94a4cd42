"""Work in progress."""


def panel(fleet: object) -> object:
    """Not there yet."""
    raise NotImplementedError
