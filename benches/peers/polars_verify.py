"""Are two archives the same: polars' full join on ids, vectors and texts compared by value. usage: A B; ends with 1 if they differ"""

import sys

import polars

a, b = (polars.scan_parquet(f"{path}/data/part-*.parquet").select("id", "vector", "document", "metadata") for path in sys.argv[1:3])
joined = a.join(b, on="id", how="full", coalesce=False)
same = polars.all_horizontal(polars.col(name).eq_missing(polars.col(f"{name}_right")) for name in ("id", "vector", "document", "metadata"))
differing = joined.filter(~same).select(polars.len()).collect(engine="streaming").item()
sys.exit(1 if differing else 0)
