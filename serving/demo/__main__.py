"""The demo: `python -m serving.demo [--base smollm2] [--exit]`, through public interfaces only."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from serving.demo.outside import Outside
from serving.demo.story import Story
from serving.demo.system import DemoFailed, Place, deploy_file, running
from serving.demo.teacher import Teacher, serving

_HOLDOUT = 0.35
_MARGIN = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the story; 0 when it ended well, 1 when something did not happen."""
    args = _parse(argv)
    root = args.directory or Path(tempfile.mkdtemp(prefix="graftwork-demo-"))
    root.mkdir(parents=True, exist_ok=True)
    place = Place(root.absolute(), args.port, args.base)
    story = Story(args.labels)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with serving(Teacher(story.known)) as url:
            story.say(f"starting Graftwork with the base {args.base!r} in {root} …")
            began = time.monotonic()
            if args.base == "smollm2":
                _fetch_base(story)
            file = deploy_file(place, url, _HOLDOUT, _MARGIN)
            with running(place, file):
                story.say(f"up after {time.monotonic() - began:.0f} s: {place.url}")
                outside = Outside(place.url)
                report = story.tell(outside, place)
                (root / "demo.json").write_text(json.dumps(report, indent=2) + "\n")
                story.say(f"figures: {root / 'demo.json'}")
                if not args.exit:
                    story.say(f"left open: {place.url}/console (Ctrl-C ends it)")
                    signal.pause()
                outside.close()
    except DemoFailed as error:
        sys.stderr.write(f"graftwork demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _fetch_base(story: Story) -> None:
    from serving.smollm2.prepared import CannotPrepare, prepare

    try:
        prepare(story.say)
    except CannotPrepare as error:
        raise DemoFailed(str(error)) from error


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.demo", description=__doc__)
    parser.add_argument("--base", choices=("embedded", "smollm2"), default="embedded")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--labels", type=int, default=480, help="messages of the traffic")
    parser.add_argument("--directory", type=Path, help="where its state goes; default: a new one")
    parser.add_argument("--exit", action="store_true", help="do not stay open in the console")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
