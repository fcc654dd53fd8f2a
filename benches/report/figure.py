"""What a run found for one row."""
import statistics
from dataclasses import dataclass, field


@dataclass
class Figure:
    """A value a round. Where a peer is compared, also what the floor reached against the same peer in the same rounds."""

    values: list
    floor: list = field(default_factory=list)
    # Why the rounds say nothing, where the machine did not hold still.
    unsteady: str = ""

    @classmethod
    def of(cls, kept):
        """What `record` wrote."""
        return cls(kept["values"], kept.get("floor", []), kept.get("unsteady", ""))

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def share(self):
        """What part of the floor's figure ours is."""
        return self.median / statistics.median(self.floor)

    def record(self):
        """As results.json holds it: the values in order of size, rounded to what a run can tell."""
        kept = {"values": sorted(rounded(value) for value in self.values)}
        if self.floor:
            kept["floor"] = sorted(rounded(value) for value in self.floor)
        if self.unsteady:
            kept["unsteady"] = self.unsteady
        return kept


def rounded(value):
    return float(f"{value:.4g}")
