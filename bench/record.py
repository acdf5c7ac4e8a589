"""A result with all that it takes to judge it: commit, machine, versions, options."""

import datetime
import importlib.metadata
import json
import platform
import subprocess

PACKAGES = ("numpy", "torch", "threadpoolctl", "tiktoken")


def save_record(folder, name, options, results):
    """Write folder/NAME-DATE-COMMIT.json and return its path."""
    commit = git("rev-parse", "--short", "HEAD")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {
        "bench": name,
        "date": today,
        "commit": commit + ("+" if git("status", "--porcelain", "-uno") else ""),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "options": options,
    }
    return keep(folder, record, results, commit)


def keep(folder, record, results, commit=None):
    """Write what is known of a run and what it found, folder/NAME-DATE-COMMIT.json; return its path."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{record['bench']}-{record['date']}-{commit or record['commit']}.json"
    path.write_text(json.dumps(record | {"results": results}, indent=2) + "\n")
    return path


def git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor():
    """The processor's name as Linux gives it, else what Python knows."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return f"{names[0]}, {len(names)} cores"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
