"""Prints the path of a test binary, from cargo's JSON messages on standard input.

usage: cargo test --no-run --message-format=json | test-binary.py PACKAGE TARGET
"""

import json
import sys

package, target = sys.argv[1:]
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == target:
        if f"/{package}#" in message["package_id"]:
            print(message["executable"])
            sys.exit(0)
sys.exit(f"no test binary {target} in {package}")
