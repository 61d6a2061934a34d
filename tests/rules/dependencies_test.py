#!/usr/bin/env python3
"""The rule's own test: each kind of violation, written into a small tree, is found."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from dependencies import violations  # noqa: E402

CASES = [
    ("controller/store/a.cpp", '#include "fleet/b.h"', "store may not know fleet"),
    ("controller/store/a.cpp", '#include "store/b.h"', None),
    ("controller/store/a.cpp", "#include <sqlite3.h>", None),
    ("controller/store/a.h", "#include <sqlite3.h>", "sources of store only"),
    ("controller/api/a.cpp", "#include <sqlite3.h>", "sources of store only"),
    ("controller/scheduler/a.cpp", "#include <chrono>", "scheduler is pure"),
    ("controller/scheduler/a.cpp", '#include "runtime/log.h"', "scheduler may not know runtime"),
    ("controller/cli/a.cpp", '#include "store/store.h"', "cli may not know store"),
    ("controller/daemon/a.cpp", '#include "planner/planner.h"', "daemon may not know planner"),
    ("controller/daemon/a.cpp", '#include "store/store.h"', None),
    ("node-agent/planner/a.cpp", "#include <unordered_map>", "planner is pure"),
    ("node-agent/session/a.cpp", '#include "transfer/cache.h"', "session may not know transfer"),
    ("node-agent/session/a.cpp", '#include "runner.h"', "write the room"),
    ("mqtt-topics/openjd/a.cpp", "#include <fstream>", "openjd is pure"),
    ("mqtt-topics/openjd/a.cpp", '#include "payloads/b.h"', "openjd may not know payloads"),
    ("mqtt-topics/openjd/a.cpp", "#include <yaml.h>", None),
    ("node-agent/openjd/main.cpp", "#include <cstdio>", None),
    ("node-agent/openjd/main.cpp", '#include "actions/session.h"', None),
    ("node-agent/actions/a.cpp", '#include "openjd/template.h"', None),
    ("node-agent/actions/a.cpp", '#include "session/runner.h"', "actions may not know session"),
    ("node-agent/session/a.cpp", '#include "actions/session.h"', None),
    ("node-agent/resident/a.cpp", '#include "session/blender.h"', None),
    ("node-agent/session/a.cpp", '#include "resident/run.h"', "session may not know resident"),
    ("node-agent/openjd/main.cpp", '#include "transfer/cache.h"', "openjd may not know transfer"),
    ("controller/compiler/a.cpp", '#include "openjd/template.h"', None),
    ("node-agent/attic/a.cpp", "", "not in the rule"),
]

for name, line, expected in CASES:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True)
        path.write_text(line + "\n")
        found = violations(pathlib.Path(folder))
        if expected is None:
            assert not found, (name, line, found)
        else:
            assert len(found) == 1 and expected in found[0], (name, line, found)
print(f"{len(CASES)} cases")
