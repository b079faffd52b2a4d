#!/usr/bin/env python3
"""The second implementation of the lock name format, written from lock-names.md without the crate.

Without an option, writes the golden values in lock-names.md. tests/lock_names.rs uses both options.
A case is an array of kind, object, key, scope and namespace. A key is an array of parts, and a part
is an array of type and value.
"""

import argparse
import base64
import datetime
import hashlib
import json
import pathlib
import re
import struct
import sys
import unicodedata
import uuid

DOCUMENT = pathlib.Path(__file__).with_name("lock-names.md")
BEGIN, END = "<!-- golden values: begin -->\n", "<!-- golden values: end -->\n"

# The current schema of the connection, in every case. On PostgreSQL, the schema of the tables.
SCHEMA = "app"


# --- The format ---

def plain(component):
    return re.fullmatch(r"[a-z0-9_.-]+", component) is not None


def full_name(kind, components, scope, namespace):
    """`kind` is r, t or n. `components` are the table and the parts of the key, or the text."""
    if kind == "n":
        readable = "=" + components[0]
    elif kind == "t":
        readable = components[0] + ":*"
    else:
        readable = components[0] + ":" + ",".join(components[1:])
    if scope is not None:
        readable += "#" + scope
    everything = components + ([] if scope is None else [scope])
    if all(map(plain, everything)) and len(readable) <= 55:
        name = readable
    else:
        message = kind.encode()
        for component in components:
            message += field(component)
        if scope is not None:
            message += b"#" + field(scope)
        digest = hashlib.sha256(message).digest()[:16]
        hashed = base64.b32encode(digest).decode().rstrip("=").lower()
        name = slug(readable) + "~" + hashed
    prefix = hashlib.sha256(namespace.encode()).hexdigest()[:8]
    return prefix + "/" + name


def postgres_key(full_name):
    return int.from_bytes(hashlib.sha256(full_name.encode()).digest()[:8], "big", signed=True)


def field(component):
    data = component.encode()
    return struct.pack("<Q", len(data)) + data


def slug(readable):
    lower = "".join(c.lower() if c.isascii() else c for c in readable)
    return re.sub(r"[^a-z0-9_.-]", "-", lower, flags=re.DOTALL)[:28]


# --- Key text ---

def key_text(type_, value):
    if type_ in ("str", "String"):
        return value
    if type_ == "bool":
        return {"true": "1", "false": "0"}[value]
    if type_ == "AccountId":
        return key_text("i64", value)
    if type_ == "Region":
        return {"Europe": "eu"}.get(value, value)
    if re.fullmatch(r"[iu](8|16|32|64|128|size)", type_):
        return str(int(value))
    if type_ in ("[u8]", "Vec<u8>", "[u8; 4]"):
        return bytes.fromhex(value).hex()
    if type_ == "Uuid":
        return uuid.UUID(value).bytes.hex()
    # Anything finer than a microsecond is cut off.
    value = re.sub(r"(\.\d{6})\d+", r"\1", value)
    if type_ in ("chrono::NaiveDate", "time::Date"):
        return datetime.date.fromisoformat(value).isoformat()
    if type_ in ("chrono::NaiveTime", "time::Time"):
        return time_text(datetime.time.fromisoformat(value))
    if type_ in ("chrono::NaiveDateTime", "time::PrimitiveDateTime"):
        return date_time_text(datetime.datetime.fromisoformat(value))
    if type_ in ("chrono::DateTime", "time::OffsetDateTime"):
        moment = datetime.datetime.fromisoformat(value)
        return date_time_text(moment.astimezone(datetime.timezone.utc))
    raise ValueError(type_)


def time_text(time):
    text = time.strftime("%H:%M:%S")
    return text if time.microsecond == 0 else text + ".%06d" % time.microsecond


def date_time_text(moment):
    return moment.date().isoformat() + "T" + time_text(moment.time())


# --- The cases ---

X = "x"
UUID = "67e55044-10b1-426f-9247-bb680e5fe0c8"


def row(table, *parts, scope=None, namespace=None):
    return ("row", table, list(parts), scope, namespace)


def n(*parts, **options):
    return row("notifications", *parts, **options)


def d(text, **options):
    return row("documents", ("str", text), **options)


CASES = [
    # Integers.
    n(("i32", "42")),
    n(("i8", "-128")),
    n(("i16", "-32768")),
    n(("i32", "-2147483648")),
    n(("i64", "9223372036854775807")),
    n(("i128", "-170141183460469231731687303715884105728")),
    n(("isize", "-1")),
    n(("u8", "255")),
    n(("u16", "65535")),
    n(("u32", "0")),
    n(("u64", "18446744073709551615")),
    n(("u128", "340282366920938463463374607431768211455")),
    n(("usize", "1")),
    # The other types.
    n(("bool", "true")),
    n(("bool", "false")),
    d("alice"),
    row("documents", ("String", "alice")),
    n(("[u8]", "00ff")),
    n(("Vec<u8>", "")),
    n(("[u8; 4]", "DEADBEEF")),
    n(("Uuid", UUID)),
    n(("Vec<u8>", UUID.replace("-", ""))),
    n(("chrono::NaiveDate", "2024-02-29")),
    n(("time::Date", "2024-02-29")),
    n(("chrono::NaiveDate", "0009-01-02")),
    n(("chrono::NaiveTime", "23:59:59")),
    n(("time::Time", "23:59:59")),
    n(("chrono::NaiveTime", "01:02:03.000450")),
    n(("time::Time", "01:02:03.000450")),
    n(("chrono::NaiveDateTime", "2024-02-29T12:00:00")),
    n(("time::PrimitiveDateTime", "2024-02-29T12:00:00")),
    n(("chrono::NaiveDateTime", "2024-02-29T12:00:00.500000")),
    n(("time::PrimitiveDateTime", "2024-02-29T12:00:00.500000")),
    n(("chrono::DateTime", "2024-02-29T12:00:00+02:00")),
    n(("time::OffsetDateTime", "2024-02-29T12:00:00+02:00")),
    # Derived keys.
    n(("AccountId", "42")),
    n(("Region", "Europe")),
    n(("Region", "Asia")),
    # Keys that are not plain, beside some that are.
    d(""),
    d(" "),
    d("Alice"),
    d("alice "),
    d("a\0b"),
    d("a\0c"),
    d("\u00e9"),
    d("\u00c9"),
    d("e\u0301"),
    d("\u0130"),
    d("\u212a"),
    d("k"),
    d("K"),
    d("\U0001f512"),
    d("\U0001f513"),
    d("it's \"quoted\" \\ back"),
    d("a\nb"),
    d("7,alice"),
    d("a:b"),
    d("a#send"),
    d("*"),
    d("a/b"),
    d("a~b"),
    d("a\u007cb"),
    # `documents:` has ten characters, so 45 more are the most that fit.
    d(X * 44),
    d(X * 45),
    d(X * 46),
    d(X * 100),
    d("\u00e9" * 60),
    # Composite keys.
    row("memberships", ("i64", "7"), ("str", "alice")),
    row("memberships", ("i64", "7"), ("str", "Alice")),
    row("memberships", ("i64", "7"), ("str", "a,b")),
    row("memberships", ("str", "7,a"), ("str", "b")),
    row("memberships", ("str", ""), ("str", "")),
    row("memberships", ("i32", "1"), ("bool", "true"), ("Uuid", UUID)),
    row("memberships", ("i32", "1"), ("i32", "2"), ("i32", "3"), ("i32", "4"), ("i32", "5")),
    row("memberships", ("i64", "7"), ("str", "alice"), scope="send"),
    # Only the last component is not plain, and all components are hashed.
    row("memberships", ("i64", "7"), ("str", "alice"), scope="Send"),
    row("memberships", ("i64", "7"), ("str", "alice"), ("str", "Bob")),
    row("memberships", ("str", X * 21), ("str", X * 21)),
    row("memberships", ("str", X * 21), ("str", X * 22)),
    # Tables.
    row("app.users", ("i32", "42")),
    row("users", ("i32", "42")),
    row("Other.users", ("i32", "42")),
    row("Users", ("i32", "42")),
    # The schema is only in the namespace: both have the hash of `Users`.
    row("app.Users", ("i32", "42")),
    row("Other.Users", ("i32", "42")),
    row("caf\u00e9", ("i32", "42")),
    row("a.b", ("i32", "42")),
    row("t" * 54, ("i32", "1")),
    row("t" * 53, ("i32", "1")),
    # The longest table name that the servers accept.
    row("t" * 64, ("i32", "1")),
    ("table", "notifications", [], None, None),
    ("table", "app.users", [], None, None),
    ("table", "Users", [], None, None),
    ("table", "Other.Users", [], None, None),
    ("table", "t" * 53, [], None, None),
    ("table", "t" * 54, [], None, None),
    ("table", "t" * 64, [], None, None),
    ("table", "notifications", [], "rebuild", None),
    ("table", "notifications", [], "Rebuild", None),
    # Named locks.
    ("named", "nightly-report", [], None, None),
    ("named", "Nightly report", [], None, None),
    ("named", "", [], None, None),
    ("named", "=", [], None, None),
    ("named", "notifications:42", [], None, None),
    ("named", X * 54, [], None, None),
    ("named", X * 55, [], None, None),
    ("named", "nightly-report", [], "eu", None),
    ("named", "nightly-report", [], "EU", None),
    ("named", "Nightly report", [], "eu", None),
    ("named", "nightly-report", [], None, "app"),
    # Scopes.
    n(("i32", "42"), scope="send"),
    n(("i32", "42"), scope="Send"),
    n(("i32", "42"), scope=""),
    n(("i32", "42"), scope="\U0001f4e7"),
    d(X * 42, scope="ab"),
    d(X * 42, scope="abc"),
    d("Alice", scope="send"),
    # Namespaces.
    n(("i32", "42"), namespace="app"),
    n(("i32", "42"), namespace="shared"),
    n(("i32", "42"), namespace=""),
    n(("i32", "42"), namespace="\u00c9cole"),
    row("app.users", ("i32", "42"), namespace="shared"),
    n(("i32", "42"), scope="send", namespace="shared"),
    # Exact names.
    ("exact", "Notification\u007c42", [], None, None),
    ("exact", "a172cedc/notifications:42", [], None, None),
    ("exact", "\u00e9" * 64, [], None, None),
]


def name_of(case, namespace_of_named=SCHEMA):
    kind, object_, parts, scope, namespace = case
    if kind == "exact":
        return object_
    if kind == "named":
        where = namespace_of_named if namespace is None else namespace
        return full_name("n", [object_], scope, where)
    schema, table = SCHEMA, object_
    # `a.b` is a table whose name has a dot. In all other cases a dot ends the schema.
    if "." in object_ and object_ != "a.b":
        schema, table = object_.split(".")
    components = [table] + [key_text(*part) for part in parts]
    where = schema if namespace is None else namespace
    return full_name("t" if kind == "table" else "r", components, scope, where)


def key_of(case):
    """The key on PostgreSQL, where the namespace of a lock without a table is empty."""
    return postgres_key(name_of(case, namespace_of_named=""))


def cell(value):
    """JSON in a code span. Characters that would end the cell or the span are escaped."""
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    text = "".join("\\u%04x" % ord(c) if ambiguous(c) else c for c in text)
    return "`" + text.replace("|", "\\u007c").replace("`", "\\u0060") + "`"


def ambiguous(c):
    """Whether a reader would not see the character, or confuse it with another."""
    lookalike = unicodedata.combining(c) or unicodedata.normalize("NFKC", c) != c
    return not c.isprintable() or lookalike


def table():
    lines = [
        "| kind | object | key types | key | scope | namespace | full name | PostgreSQL key |\n",
        "|---|---|---|---|---|---|---|---|\n",
    ]
    for case in CASES:
        kind, object_, parts, scope, namespace = case
        types = "`" + ", ".join(type_ for type_, _ in parts) + "`" if parts else ""
        key = cell([value for _, value in parts]) if parts else ""
        cells = [kind, cell(object_), types, key, cell(scope), cell(namespace)]
        cells += [cell(name_of(case)), cell(key_of(case))]
        lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    options = parser.add_mutually_exclusive_group()
    options.add_argument(
        "--check", action="store_true", help="fail if the golden values would change"
    )
    options.add_argument(
        "--names", action="store_true", help="read cases from stdin as JSON and write pairs of name and PostgreSQL key"
    )
    options = parser.parse_args()
    if options.names:
        cases = json.load(sys.stdin.buffer)
        json.dump([(name_of(case), key_of(case)) for case in cases], sys.stdout)
        return
    document = DOCUMENT.read_text(encoding="utf-8")
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    updated = before + BEGIN + "\n" + table() + "\n" + END + after
    if options.check:
        if updated != document:
            sys.exit("the golden values differ: run docs/lock-names.py and read the difference")
        return
    DOCUMENT.write_text(updated, encoding="utf-8")


if __name__ == "__main__":
    main()
