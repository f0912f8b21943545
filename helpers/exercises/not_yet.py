"""How a checker says that an exercise is not solved. Raised by the lessons' modules, caught by `attempt`."""


class NotYet(Exception):
    """Raised by a checker when the exercise is not solved; says why."""
