"""The SQL functions that queries may call: those that only compute, and give the same wherever a query runs."""

_AGGREGATES = "avg count group_concat max min string_agg sum total"
_DATES = "current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch"
_JSON = """-> ->> json json_array json_array_length json_error_position json_extract json_group_array
    json_group_object json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set
    json_type json_valid"""
_MATHS = """abs acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod
    pi pow power radians random round sign sin sinh sqrt tan tanh trunc"""
_SCALARS = """char coalesce concat concat_ws format glob hex if ifnull iif instr length like likelihood likely lower
    ltrim nullif octet_length printf quote replace rtrim soundex substr substring trim typeof unhex unicode unlikely
    upper"""
_WINDOWS = "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"

ALLOWED_FUNCTIONS = frozenset(" ".join((_AGGREGATES, _DATES, _JSON, _MATHS, _SCALARS, _WINDOWS)).split())
"""Lower case. Not here: whatever reads files, loads code, tells of the database itself, or makes bytes from a size."""

TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})
"""Functions that stand where a table may."""
