#!/usr/bin/env python3
"""Checks the house's dependency rule from the include lines (README.md of the root: "The house").

Usage: dependencies.py PROJECT. Prints one line a violation; exit status 1 if there is any.
"""
import pathlib
import re
import sys

# What each room may include besides itself and the standard library. Arrows point down only.
CONTRACT = {"base", "topics", "payloads"}
ADAPTER = CONTRACT | {"runtime"}
MAY_KNOW = {
    "base": set(),
    "topics": {"base"},
    "payloads": {"base"},
    "runtime": {"base"},
    "identity": {"base", "runtime"},
    "openjd": {"base"},
    "bundles": {"base", "payloads", "runtime"},
    "scheduler": {"base", "payloads"},
    "compiler": {"base", "payloads", "openjd", "scheduler"},
    "planner": {"base", "payloads"},
    "accounts": {"base"},
    "enrollment": ADAPTER | {"identity"},
    "store": ADAPTER | {"scheduler", "accounts", "enrollment", "identity", "rollout"},
    "fleet": ADAPTER | {"scheduler", "identity"},
    "files": ADAPTER | {"scheduler"},
    "http": {"base", "runtime"},
    "api": ADAPTER | {"bundles", "scheduler", "http", "compiler", "accounts", "enrollment", "identity", "rollout"},
    "web": {"base"},
    "cli": ADAPTER | {"compiler", "identity", "openjd"},
    "uplink": ADAPTER | {"planner"},
    "cage": {"base", "runtime"},
    "session": ADAPTER | {"planner", "openjd", "actions", "cage"},
    "resident": ADAPTER | {"session"},
    "actions": ADAPTER | {"planner", "openjd"},
    "transfer": ADAPTER | {"bundles", "planner"},
    "telemetry": ADAPTER | {"planner"},
    "update": ADAPTER,
    "rollout": {"base", "payloads", "scheduler"},
    "box": ADAPTER | {"identity"},
}
CONTROLLER = {"scheduler", "enrollment", "rollout", "compiler", "accounts", "store", "fleet", "files", "http", "api", "web", "cli"}
AGENT = {"planner", "uplink", "session", "actions", "cage", "transfer", "telemetry", "update"}
DAEMON_MAY_KNOW = {
    "controller": ADAPTER | {"identity"} | (CONTROLLER - {"cli"}),
    "node-agent": ADAPTER | {"identity"} | AGENT,
}
# A program's own folder may bear the name of the room that it puts at the command line.
PROGRAM_MAY_KNOW = {
    ("node-agent", "openjd"): {"base", "runtime", "openjd", "actions"},
}
# Outside headers that live in one room, in its sources only (never in a header).
OWNED = {
    r"cjson/": "base",
    r"mosquitto\.h": "runtime",
    r"curl/": "runtime",
    r"sqlite3\.h": "store",
    r"boost/": "http",
    r"openssl/ssl\.h": "http",
    r"yaml\.h": "openjd",
    r"sodium": "accounts",
    r"archive": "bundles",
}
# The pure rooms: no clock, no log, no I/O, no randomness, no threads, ordered containers only.
PURE = {"scheduler", "compiler", "planner", "openjd", "rollout"}
IMPURE = re.compile(
    r"#include <(chrono|thread|mutex|atomic|future|condition_variable|random|iostream|fstream|filesystem|"
    r"unordered_map|unordered_set|cstdio|ctime|unistd\.h|sys/[^>]*|time\.h|stdio\.h)>"
)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def violations(project):
    found = []
    for house in ("mqtt-topics", "controller", "node-agent"):
        for path in sorted((project / house).rglob("*")):
            if path.suffix not in (".h", ".cpp") or "node_modules" in path.parts:
                continue
            room = path.relative_to(project / house).parts[0]
            program = PROGRAM_MAY_KNOW.get((house, room))
            allowed = DAEMON_MAY_KNOW.get(house, set()) if room == "daemon" else program or MAY_KNOW.get(room)
            where = path.relative_to(project)
            pure = room in PURE and not program
            if allowed is None:
                found.append(f"{where}: the room '{room}' is not in the rule; name what it may know")
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found += [f"{where}:{number}: {text}" for text in line_violations(room, path, allowed, line, pure)]
    return found


def line_violations(room, path, allowed, line, pure):
    if pure and IMPURE.match(line):
        yield f"{room} is pure and may not {line.strip()}"
    match = INCLUDE.match(line)
    if not match:
        return
    quoted, system = match.groups()
    if quoted:
        target = quoted.split("/")[0]
        if quoted.endswith(".inc"):  # written by the build into the room's own folder
            return
        if "/" not in quoted:
            yield f'write the room in the include: "{room}/{quoted}"'
        elif target != room and target not in allowed:
            yield f"{room} may not know {target} ({quoted})"
    else:
        for pattern, owner in OWNED.items():
            if re.match(pattern, system) and (room != owner or path.suffix != ".cpp"):
                yield f"<{system}> belongs into the sources of {owner} only"


if __name__ == "__main__":
    lines = violations(pathlib.Path(sys.argv[1]))
    print("\n".join(lines) if lines else "every include keeps to the house's rule")
    sys.exit(1 if lines else 0)
