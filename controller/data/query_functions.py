"""The SQL functions that queries may call: those that only compute, and give the same wherever a query runs.

Lower case. Not here: whatever reads files, loads code, tells of the database itself, waits, or makes bytes from a size.
"""


def _names(*lists: str) -> frozenset[str]:
    return frozenset(" ".join(lists).split())


_WINDOWS = "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"
_AGGREGATES = "avg count max min string_agg sum"
_MATHS = """abs acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 mod pi
    power radians round sign sin sinh sqrt tan tanh trunc"""
_SCALARS = """coalesce concat concat_ws length lower ltrim nullif octet_length replace rtrim substr substring trim
    upper"""
_DATES = "current_date current_time current_timestamp date"

_OF_SQLITE = """-> ->> char datetime format glob group_concat hex if ifnull iif instr json json_array json_array_length
    json_error_position json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty
    json_quote json_remove json_replace json_set json_type json_valid julianday like likelihood likely log2 pow printf
    quote random soundex strftime time timediff total typeof unhex unicode unixepoch unlikely"""

_POSTGRES_AGGREGATES = """any_value array_agg bit_and bit_or bool_and bool_or corr covar_pop covar_samp every grouping
    json_agg json_object_agg jsonb_agg jsonb_object_agg mode percentile_cont percentile_disc regr_avgx regr_avgy
    regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp var_pop
    var_samp variance"""
_POSTGRES_DATES = """age clock_timestamp date_bin date_part date_trunc extract isfinite justify_days justify_hours
    justify_interval localtime localtimestamp make_date make_interval make_time make_timestamp make_timestamptz now
    statement_timestamp timezone to_char to_date to_number to_timestamp transaction_timestamp"""
_POSTGRES_JSON = """array_to_json json_array_length json_build_array json_build_object json_extract_path
    json_extract_path_text json_object json_strip_nulls json_typeof jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_path_exists
    jsonb_path_match jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls
    jsonb_typeof row_to_json to_json to_jsonb"""
_POSTGRES_SCALARS = """array_length array_position array_to_string ascii bit_length btrim cardinality cbrt char_length
    character_length chr cot decode div encode gcd greatest initcap lcm least left md5 min_scale num_nonnulls num_nulls
    overlay position random regexp_count regexp_instr regexp_like regexp_match regexp_replace regexp_split_to_array
    regexp_substr reverse right row scale sha256 split_part starts_with string_to_array strpos to_hex translate
    trim_scale width_bucket"""
_POSTGRES_SETS = """json_array_elements json_array_elements_text json_each json_each_text json_object_keys
    jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query
    regexp_matches regexp_split_to_table string_to_table unnest"""

_EVERYWHERE = (_AGGREGATES, _DATES, _MATHS, _SCALARS, _WINDOWS)

ALLOWED_FUNCTIONS = _names(*_EVERYWHERE, _OF_SQLITE)
"""On SQLite."""

TABLE_FUNCTIONS = _names("json_each json_tree")
"""On SQLite, functions that stand where a table may."""

POSTGRES_AGGREGATES = _names(_POSTGRES_AGGREGATES)
"""Those that only PostgreSQL has: they make one row of many."""

POSTGRES_TABLE_FUNCTIONS = _names(_POSTGRES_SETS)
"""On PostgreSQL they may stand anywhere."""

POSTGRES_FUNCTIONS = POSTGRES_TABLE_FUNCTIONS | _names(
    *_EVERYWHERE, _POSTGRES_AGGREGATES, _POSTGRES_DATES, _POSTGRES_JSON, _POSTGRES_SCALARS
)
"""On PostgreSQL."""

ELSEWHERE_FUNCTIONS = _names(*_EVERYWHERE, "stddev variance greatest least left right extract position year month day")
"""On any other database that the controller was told of."""


def allowed_functions(dialect: str) -> tuple[frozenset[str], frozenset[str]]:
    """The functions that queries may call in expressions, and those that may stand where a table does."""
    match dialect:
        case "sqlite":
            return ALLOWED_FUNCTIONS, TABLE_FUNCTIONS
        case "postgres":
            return POSTGRES_FUNCTIONS, POSTGRES_TABLE_FUNCTIONS
    return ELSEWHERE_FUNCTIONS, frozenset()
