"""Verify a log of Graftwork without Graftwork: `python verify_log.py DIR [KEYS [CHECKPOINT]]`.

KEYS, CHECKPOINT: answers of GET /admin/v1/audit/keys and …/checkpoint. The format: docs/audit.md.
"""

import hashlib
import hmac
import json
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAYLOAD = re.compile(rb'{"sequence":(\d+),"salt":"(.{32})","payload":(.*)}')
root, wrong, leaves, odd, excused, nodes, reached = Path(sys.argv[1]), [], {}, {}, set(), [], {}


def canonical(value):  # RFC 8785, of JSON without fractions and with ASCII names
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha(data):
    return hashlib.sha256(data).digest()


def read_segment(path):
    writer, number = re.fullmatch(r"(.+)-(\d{6,12})\.jsonl", path.name).groups()
    payloads, kept, at = root / "payloads" / path.name, {}, 0
    for line in payloads.read_bytes().splitlines() if payloads.exists() else ():
        if found := PAYLOAD.fullmatch(line):
            salt = bytes.fromhex(found[2].decode())
            kept[int(found[1])] = hmac.new(salt, found[3], "sha256").hexdigest()
    for line in path.read_bytes().splitlines(keepends=True):
        at += len(line)
        try:
            record = json.loads(line)
            spelled, claimed = canonical(record) + b"\n" == line, record.pop("hash")
        except (ValueError, KeyError):
            odd[path.name, at - len(line), sha(line).hex()] = "cannot be read"
            continue
        own, sequence, prev = leaves.setdefault(writer, {}), record["sequence"], record["prev"]
        leaf, about = sha(b"\0" + canonical(record)), record.get("about")
        if not spelled or leaf.hex() != claimed or record["writer"] != writer or sequence in own:
            wrong.append(f"{path.name}: record {sequence} is altered, or not in its place")
        if own.get(sequence - 1, b"" if own else bytes.fromhex(prev)).hex() != prev:
            wrong.append(f"{path.name}: record {sequence} does not continue the one before it")
        if about == "opened" and record["segment"] != int(number):
            wrong.append(f"{path.name} was file number {record['segment']}")
        if record["commitment"] != kept.get(sequence):
            odd[writer, sequence] = "has not the payload that its record commits to"
        own[sequence] = leaf
        excused.update([about, (record.get("file"), record.get("offset"), record.get("sha256"))])
        if about in {"erased", "payloads_lost"}:  # here the log says itself what is missing
            named = record["payloads"] if about == "erased" else {writer: record["payloads"]}
            excused.update((each, number) for each in named for number in named[each])


def check(line, before, keys, is_short):
    try:
        signed = canonical({name: each for name, each in line.items() if name != "signature"})
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[line["key_id"]]))
        key.verify(bytes.fromhex(line["signature"]), signed)
    except (KeyError, InvalidSignature):
        wrong.append(f"checkpoint of {line['time']}: no signature of a known key")
    expected = sha(canonical(before)).hex() if before else line["prev"] if is_short else None
    if line["prev"] != expected:
        wrong.append(f"checkpoint of {line['time']}: does not follow the one before it")
    for writer, head in sorted(line["heads"].items()):
        for sequence in range(reached.get(writer, -1) + 1, head["sequence"] + 1):
            node = leaves.get(writer, {}).get(sequence, b"")
            size = sum(reached.values()) + len(reached)
            while size & 1:  # RFC 6962: two subtrees of a size become one
                node, size = sha(b"\1" + nodes.pop() + node), size >> 1
            nodes.append(node)
            reached[writer] = sequence
    found, *others = nodes[::-1] or [sha(b"")]
    for node in others:
        found = sha(b"\1" + node + found)
    if found.hex() != line["root"] and not is_short:
        wrong.append(f"checkpoint of {line['time']}: covers other records than those here")


for each in sorted((root / "segments").iterdir()):
    read_segment(each)
wrong += [f"{where}: {what}" for where, what in odd.items() if where not in excused]
listed = json.loads(Path(sys.argv[2] if sys.argv[2:] else root / "keys.json").read_bytes())
known = {each["key_id"]: each["public_key"] for each in listed.get("data") or listed["keys"]}
text = (root / "checkpoints.jsonl").read_bytes().rpartition(b"\n")[0]  # crashes tear last lines
try:
    lines = [json.loads(each) for each in text.splitlines()]
except ValueError:
    lines = wrong.append("checkpoints.jsonl has a line that cannot be read") or []
for one, two in zip([None, *lines], lines, strict=False):
    check(two, one, known, is_short="removed" in excused)
if sys.argv[3:] and json.loads(Path(sys.argv[3]).read_bytes()) not in lines:
    wrong.append("the checkpoint that was kept is none of this log's")
print(*wrong, f"{len(wrong)} problems", sep="\n")
sys.exit(1 if wrong else 0)
