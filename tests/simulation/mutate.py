#!/usr/bin/env python3
"""Writes a copy of one source with the changes that a table of mutants names for it.

Usage: mutate.py TABLE PROJECT SOURCE OUTPUT. A line of the table that is not in the source exactly once is an error:
the source has changed, and the mutant must follow.
"""
import pathlib
import sys


def changes_of(table, source):
    current, old = None, None
    for line in table.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("-"):
            old = line[1:]
        elif line.startswith("+"):
            if current == source:
                yield old, line[1:]
        else:
            current = line.strip()


def main():
    table, project, source, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], pathlib.Path(sys.argv[4])
    lines = (project / source).read_text().splitlines()
    for old, new in changes_of(table, source):
        if lines.count(old) != 1:
            sys.exit(f"{table}: {source} has {lines.count(old)} lines that read '{old.strip()}'; name one that it has once")
        lines[lines.index(old)] = new
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(['#include "mutants.h"', f'#line 1 "{project / source}"', *lines, ""]))


main()
