"""Lines in the order of their steps: where a run was resumed from an earlier step, later lines win."""


class Timeline:
    """By kind, step -> what was noted. A line of an earlier step than the newest begins again from there."""

    def __init__(self):
        self.kinds, self._newest = {}, -1

    def put(self, kind, step, value):
        """Note a value, after dropping what an abandoned part of the run said of this step or later ones."""
        if step < self._newest:
            for steps in self.kinds.values():
                for old in [old for old in steps if old >= step]:
                    del steps[old]
        self._newest = step
        self.kinds.setdefault(kind, {})[step] = value
