"""`fface-hub check`: the audit of a model folder or repository."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from fface_hub.commands.support import say, write_json
from fface_hub.errors import FFaceError
from fface_hub.hub.check import Verdict
from fface_hub.hub.check import check as audit
from fface_hub.sources import Source


def check(args: Namespace) -> None:
    """Print every finding and the verdict; `FFaceError` if the model is refused."""
    verdict = audit(Source(args.model, args.revision))
    write_json(_report(verdict), args.json)
    for finding in verdict.findings:
        say(f"{'refused' if finding.refused else 'note'}: {finding.where}: {finding.what}")
    if not verdict.clean:
        count = sum(finding.refused for finding in verdict.findings)
        raise FFaceError(f"The model '{verdict.id}' is refused for {'what is' if count == 1 else f'the {count} things'} said above.")
    size, count = sum(verdict.sizes.values()) / 1e6, len(verdict.sizes)
    say(f"clean: '{verdict.id}', class {verdict.model_class}, {size:.2f} MB in {count} files, none named like a program")
    say(f"fingerprint of the weights: {verdict.fingerprint}{f'; commit: {verdict.commit}' if verdict.commit else ''}")


def _report(verdict: Verdict) -> dict[str, Any]:
    return {"clean": verdict.clean, **asdict(verdict)}
