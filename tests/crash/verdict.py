"""What must be true after any number of kills, read from the database."""

from __future__ import annotations

from collections import Counter, defaultdict

from talkwire.model import State
from talkwire.store import Query
from tests.crash.load import Known

Row = tuple


def unfinished(query: Query, known: Known) -> list[str]:
    """Say what still has to happen; everything does, whoever was killed."""
    faults = []
    tasks = query.execute("SELECT l.grp, count(*) FROM task t JOIN lane l ON l.id = t.lane_id GROUP BY l.grp")
    faults += [f"{count} tasks wait in {group}" for group, count in tasks]
    head = query.execute("SELECT seq FROM log_head")[0][0]
    cursors = query.execute("SELECT name, cursor FROM reader WHERE cursor < :head", {"head": head})
    faults += [f"{name} is at {cursor} of {head}" for name, cursor in cursors]
    rows = query.execute(
        "SELECT external_id FROM delivery WHERE external_id IS NOT NULL AND state < :delivered",
        {"delivered": int(State.DELIVERED)},
    )
    faults += [f"the report of {row[0]} is not joined" for row in rows if row[0] in known.reported]
    return faults


def broken(query: Query, known: Known) -> list[str]:
    """Say what is not as it must be."""
    return [
        *known.contradictions,
        *_inbound(query, known),
        *_outbound(query, known),
        *_parts(query, known),
        *_facts(query),
    ]


def _inbound(query: Query, known: Known) -> list[str]:
    there = Counter(row[0] for row in query.execute("SELECT external_id FROM message WHERE direction = 'in'"))
    lost = [f"{i} was acknowledged and is not there" for i in known.acknowledged if i not in there]
    return lost + [f"{i} is there {n} times" for i, n in there.items() if n != 1]


def _outbound(query: Query, known: Known) -> list[str]:
    texts = Counter(row[0] for row in query.execute("SELECT text FROM message WHERE direction = 'out'"))
    asked = {f"reply {key}" for key in known.accepted}
    for external, text in query.execute("SELECT external_id, text FROM message WHERE direction = 'in'"):
        if not text.startswith("plain"):
            asked.add(f"echo of {external}")
    faults = [f"`{text}` is there {texts[text]} times" for text in asked if texts[text] != 1]
    return faults + [f"nobody was promised `{t}`" for t in texts if t not in asked and not t.startswith("reply")]


def _parts(query: Query, known: Known) -> list[str]:
    faults = []
    places = defaultdict(list)
    states = {}
    for part, state, external, conversation, n in query.execute(
        "SELECT d.id, d.state, d.external_id, d.conversation_id, m.n FROM delivery d JOIN message m ON m.id = d.message_id"
    ):
        answers = known.requests.get(part, [])
        mattered = [answer for answer in answers if answer != "busy"]
        states[part] = (State(state), conversation, n)
        if len(mattered) > 1:
            faults.append(f"part {part} was sent {len(mattered)} times: {answers}")
        if not _is_true(State(state), mattered[0] if mattered else "", external):
            faults.append(f"part {part} is {State(state).word} under {external}; the provider answered {answers}")
    faults += [f"the provider got {part}, which is nowhere" for part in known.requests if part not in states]
    for part in known.order:
        state, conversation, n = states[part]
        if state is not State.UNCERTAIN:  # a daemon that stood still may send late what another called uncertain
            places[conversation].append(n)
    faults += [f"conversation {c} was answered in the order {ns}" for c, ns in places.items() if ns != sorted(ns)]
    return faults


def _is_true(state: State, answer: str, external: str | None) -> bool:
    if state is State.UNCERTAIN:
        return True  # nobody is told more than is known
    if answer in ("", "reset"):
        return False
    if answer == "refused":
        return state is State.FAILED
    return state in (State.ACCEPTED, State.DELIVERED) and external == answer


def _facts(query: Query) -> list[str]:
    seqs = [row[0] for row in query.execute("SELECT seq FROM fact ORDER BY seq")]
    head = query.execute("SELECT seq FROM log_head")[0][0]
    return [] if seqs == list(range(1, head + 1)) else [f"{len(seqs)} facts, and the head is at {head}"]


def figures(query: Query, known: Known) -> dict[str, object]:
    """Count what happened."""
    states = Counter(State(row[0]).word for row in query.execute("SELECT state FROM delivery"))
    never = sum(not known.requests.get(row[0]) for row in query.execute("SELECT id FROM delivery"))
    return {
        "messages acknowledged": len(known.acknowledged),
        "there exactly once": query.execute("SELECT count(*) FROM message WHERE direction = 'in'")[0][0],
        "knocks in vain": known.refused_connections,
        "replies promised": query.execute("SELECT count(*) FROM message WHERE direction = 'out'")[0][0],
        "parts": sum(states.values()),
        **{f"  {word}": count for word, count in sorted(states.items())},
        "parts requested twice": sum(len([a for a in x if a != "busy"]) > 1 for x in known.requests.values()),
        "uncertain, never requested": never,
        "reports taken": len(known.reported),
        "facts without a gap": query.execute("SELECT seq FROM log_head")[0][0],
    }
