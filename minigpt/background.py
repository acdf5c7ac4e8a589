"""A function on a thread of its own, and what came of it."""

import threading


class Background(threading.Thread):
    """make(argument), begun at once."""

    def __init__(self, make, argument, name, daemon=True):
        super().__init__(name=name, daemon=daemon)
        self.make, self.argument, self.made, self.error = make, argument, None, None
        self.start()

    def run(self):
        try:
            self.made = self.make(self.argument)
        except BaseException as error:
            self.error = error

    def result(self):
        """What make returned, as soon as it has; raised here, if it raised."""
        self.join()
        if self.error:
            raise self.error
        return self.made
