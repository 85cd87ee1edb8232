"""A run as one value: from what data, with which settings, into which folder, and the card that it follows."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from training.settings import Settings


@dataclass
class Run:
    """One training.

    data : the data folder. folder : where it is written; must not exist, or be empty, unless the run goes on. None:
        not decided yet.
    card : that of the run which this one goes on with (`resume`) or repeats; None: of none.
    resume : True to go on with the unfinished run in `folder` after its last finished epoch; `settings` are then its
        stored ones (`run_card.settings_of`). It ends in the weights that it would have had without the stop.
    minutes : for the whole training, counted from `started`: epochs and steps are then chosen to fill them.
    started : `time.time()` when the user's command began.
    """

    data: Path
    folder: Path | None
    settings: Settings = field(default_factory=Settings)
    card: dict | None = None
    resume: bool = False
    minutes: float | None = None
    started: float = field(default_factory=time.time)

    def __post_init__(self):
        self.data, self.folder = Path(self.data), self.folder and Path(self.folder)
