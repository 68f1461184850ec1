import threading, time

# Rows of each partition that were seen, and each file as it was first seen.
seen, known = {}, {}
listings, rows, stop = 0, 0, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()


def fail(what):
    print(json.dumps({"broken": what}), flush=True)
    sys.exit(1)


def look(store):
    global listings, rows
    found = {one.path: (one.size, one.mtime_ns) for one in listing(store)}
    listings += 1
    for path, before in known.items():
        if found.get(path) != before:
            fail(f"{path} was {before}, is {found.get(path)}")
    for path in found.keys() - known.keys():
        try:
            table = read(store, path, ["_topic", "_partition", "_offset"])
        except Exception as error:
            fail(f"{path} cannot be read: {error}")
        known[path] = found[path]
        for topic, partition, offset in zip(*(column.to_pylist() for column in table.columns)):
            offsets = seen.setdefault((topic, partition), set())
            if offset in offsets:
                fail(f"{path} has {topic}/{partition} offset {offset}, which another file has")
            offsets.add(offset)
            rows += 1


while True:
    last = stop.is_set()
    try:
        look(system())
    except OSError as error:
        # A server that is down shows nothing, and that is no answer.
        if last or "endpoint" not in place:
            fail(f"cannot be listed: {error}")
    if last:
        break
    stop.wait(0.05)
print(json.dumps({"listings": listings, "files": len(known), "rows": rows}), flush=True)
