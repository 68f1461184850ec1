import duckdb

# Rows that are due, as (place, partition, offset); a place is the first folder below the root, up to a "+".
root, store = place["path"], system()
files = [one.path for one in listing(store)]
db = duckdb.connect()
due = db.read_csv(sys.argv[2], header=False, columns={"place": "VARCHAR", "p": "BIGINT", "o": "BIGINT"})
db.execute("CREATE TABLE due AS SELECT * FROM due")
db.execute("CREATE TABLE found (path VARCHAR, p BIGINT, o BIGINT, store BIGINT)")
if "endpoint" in place:
    for path in files:
        rows = read(store, path, ["_partition", "_offset", "store_id"])
        db.execute("INSERT INTO found SELECT ?, _partition, _offset, store_id FROM rows", [path])
else:
    for at in range(0, len(files), 2000):
        rows = db.read_parquet(files[at:at + 2000], filename=True)
        db.execute("INSERT INTO found SELECT filename, _partition, _offset, store_id FROM rows")
relative = f"substr(path, {len(root) + 2})"
db.execute(f"""CREATE TABLE held AS
    SELECT split_part(split_part({relative}, '/', 1), '+', 1) AS place, p, o, store FROM found""")
broken = {
    "missing": "SELECT place, p, o FROM due ANTI JOIN held USING (place, p, o)",
    "doubled": "SELECT place, p, o FROM held GROUP BY place, p, o HAVING count(*) > 1",
    "foreign": "SELECT place, p, o FROM held ANTI JOIN due USING (place, p, o)",
    "strange": "SELECT place, p, o FROM held WHERE TRY_CAST(place AS BIGINT) <> store",
}
answer = {"files": len(files), "rows": db.sql("SELECT count(*) FROM held").fetchone()[0], "some": []}
for name, query in broken.items():
    answer[name] = db.sql(f"SELECT count(*) FROM ({query})").fetchone()[0]
    answer["some"] += [f"{name}: {row}" for row in db.sql(query + " ORDER BY ALL LIMIT 5").fetchall()]
print(json.dumps(answer))
