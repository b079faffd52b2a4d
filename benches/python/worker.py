"""Locks and unlocks with one library: a line of JSON in, a line of JSON out, until the input ends."""

import importlib
import json
import sys

from turns import Turns


def main():
    module, port, delayed_port, socket = sys.argv[1:]
    module = importlib.import_module(module)
    library = module.Library(port, delayed_port, socket)
    tell({"name": module.NAME})
    for line in sys.stdin:
        question = json.loads(line)
        try:
            transport = question.pop("transport")
            tell(Turns(lambda: library.session(transport), **question).run())
        except Exception as error:
            tell({"error": f"{type(error).__name__}: {error}"})


def tell(answer):
    print(json.dumps(answer), flush=True)


main()
