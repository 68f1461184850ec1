import duckdb

first, expected = int(sys.argv[2]), int(sys.argv[3])
columns = ["_topic", "_partition", "_offset", "number"]
files, tables = [], []
for argument in [sys.argv[1], *sys.argv[4:]]:
    place = json.loads(argument)
    store = system()
    found = listing(store)
    files += found
    tables += [read(store, one.path, columns) for one in found]
schema = pa.schema([("_topic", pa.string()), ("_partition", pa.int64()), ("_offset", pa.int64()), ("number", pa.int64())])
events = pa.concat_tables([table.cast(schema) for table in tables]) if tables else schema.empty_table()


def numbers(query):
    return [row[0] for row in duckdb.sql(query + " LIMIT 10").fetchall()]


rows, keys, distinct = duckdb.sql(
    "SELECT count(*), count(DISTINCT (_topic, _partition, _offset)), count(DISTINCT number) FROM events").fetchone()
print(json.dumps({
    "files": len(files), "rows": rows, "keys": keys, "numbers": distinct,
    "missing": numbers(f"SELECT range FROM range({first}, {expected}) WHERE range NOT IN (SELECT number FROM events)"),
    "doubled": numbers("SELECT number FROM events GROUP BY number HAVING count(*) > 1"),
    "foreign": numbers(f"SELECT number FROM events WHERE number < {first} OR number >= {expected}"),
}))
