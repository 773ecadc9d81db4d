"""What a pane is. A new pane is one file: a subclass of Pane with class attributes and pure methods.

Invariant: a pane turns readings into rows and nothing else; it holds no data, does no I/O and knows no Textual, so the
same readings at the same time always give the same rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from msgspec import Struct, field

from planc_tui.core.store import Reading, Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.playbook.model import Playbook

T = TypeVar("T")
V = TypeVar("V")


class View(Struct, frozen=True):
    """Everything a pane may look at. now: epoch seconds UTC; monotonic: for the age of readings.
    options: the pane's switches, such as `{"all": True}` for events of every type."""

    readings: Mapping[str, Reading[Any]]
    now: float
    monotonic: float
    playbook: Playbook
    namespace: str = ""
    context: str = ""
    options: Mapping[str, bool] = field(default_factory=dict)

    def value(self, topic: Topic[V]) -> V | None:
        """Last good value of a topic, however old; None when there is none."""
        reading = self.readings.get(topic.name)
        return None if reading is None else cast("V | None", reading.value)

    def reading(self, topic: Topic[V]) -> Reading[V]:
        """The reading of a topic; an empty one when nothing was ever read."""
        return cast("Reading[V]", self.readings.get(topic.name) or Reading(topic))


class Summary(Struct, frozen=True):
    """What the title says beside the pane's name: `22/24 ready`, and how bad it is."""

    text: str
    tone: Tone = Tone.NORMAL


class Option(Struct, frozen=True):
    """A switch of a pane: key toggles `id`; `title` is its help text."""

    id: str
    key: str
    title: str
    default: bool = False


class Pane(ABC, Generic[T]):
    """One pane. T is the type of the object behind a row."""

    id: ClassVar[str]
    title: ClassVar[str]
    number: ClassVar[str] = ""  # the key that jumps to it: "1" ... "9", "0", or "" when it has none
    aliases: ClassVar[tuple[str, ...]] = ()  # names for the command line: ("pod", "pods", "po")
    topics: ClassVar[tuple[Topic[Any], ...]]  # the first one gives the pane its age and its health
    columns: ClassVar[tuple[Column, ...]]
    kinds: ClassVar[tuple[str, ...]] = ()  # kinds of object its rows stand for; their actions get their keys here
    sort_keys: ClassVar[Mapping[str, str]] = {}  # key -> column id, e.g. {"C": "cpu"}
    options: ClassVar[tuple[Option, ...]] = ()
    default_sort: ClassVar[str] = ""  # column id shown as sorted when nothing was chosen; "" = the pane's own order

    @abstractmethod
    def items(self, view: View) -> Sequence[T]:
        """Objects to show in the pane's own order (worst first). Called when a topic changed: keep it quick, it may
        see 10,000 objects; it must not build cells."""

    @abstractmethod
    def identity(self, item: T) -> str:
        """What stays the same while the object lives: its uid."""

    @abstractmethod
    def cells(self, item: T, view: View) -> Sequence[Cell]:
        """One cell per column, or a single Cell with span=True. Called for visible rows only. Text from outside
        passes core.text.clean before it gets here."""

    @abstractmethod
    def summary(self, view: View) -> Summary:
        """The pane's one-line summary for its title and for the tab strip."""

    def target(self, item: T, view: View) -> Target | None:
        """Identity of the object for opening it and for actions; None for rows that are not objects."""
        return None

    def tone(self, item: T) -> Tone:
        """How bad the row is: CRIT and WARN rows are bright, DIM rows are quiet."""
        return Tone.NORMAL

    def sort_value(self, item: T, column: str) -> Any:
        """Comparable value of a column; raw numbers, not text."""
        return self.text(item, column)

    def text(self, item: T, column: str) -> str:
        """Plain text of a column for filters (`status:crash`) and for saving as CSV, independent of width."""
        return ""

    def labels(self, item: T) -> Mapping[str, str]:
        """Labels for `label:app=x` filters."""
        return {}

    def detail(self, item: T, view: View) -> tuple[str, ...]:
        """Lines for the detail screen when the object needs no further request (a session's SQL, an event)."""
        return ()

    def empty(self, view: View) -> str:
        """What an empty but live pane says."""
        return "nothing to show"
