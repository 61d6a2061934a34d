"""Every command of `kiln` stands in its man page and in the three shells' completions.

    command_line.py PROJECT KILN
"""
import pathlib
import re
import subprocess
import sys

PLACES = ("kiln.1", "completion/kiln.bash", "completion/kiln.fish", "completion/_kiln")


def commands(kiln, *words):
    """The subcommands that the help of `kiln WORDS…` lists."""
    text = subprocess.run([kiln, *words, "--help"], capture_output=True, text=True, check=True).stdout
    listed = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.M)
    return re.findall(r"^  ([a-z-]+)", listed[1], re.M) if listed else []


def missing(folder, kiln):
    texts = {place: (folder / place).read_text() for place in PLACES}
    wanted = commands(kiln)
    assert len(wanted) > 20, f"kiln --help lists {wanted}: has its shape changed?"
    wanted += [verb for command in wanted for verb in commands(kiln, command)]
    return [f"controller/cli/{place}: '{word}' is missing" for word in sorted(set(wanted)) for place, text in texts.items()
            if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


if __name__ == "__main__":
    found = missing(pathlib.Path(sys.argv[1]) / "controller/cli", sys.argv[2])
    print("\n".join(found) or "the man page and the completions know every command")
    sys.exit(1 if found else 0)
