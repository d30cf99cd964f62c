"""Work as other processes get it: the recipe, the items and what is said of them are pickled on their way."""

import pickle

from densevl.core.engine import Engine


class SentEngine(Engine):
    """Works here, with a worker of the recipe and nothing that cannot be sent."""

    @property
    def is_here(self):
        """Never: the worker of this process is not used."""
        return False

    def run(self, recipe, items, batch, own=None, **settings):
        """The outcomes, each as another process gets it."""
        worker = pickle.loads(pickle.dumps(recipe))()
        assert worker.batch == batch
        for item, outcome in zip(items, self.pipeline.run(worker, pickle.loads(pickle.dumps(items))), strict=True):
            found = pickle.loads(pickle.dumps(outcome))
            assert found.item.place == item.place
            yield found
